//! What the tour prints, and the same as JSON. Every step is one entry, so that a script can check
//! what a person reads.

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The record of one tour.
pub struct Book {
    entries: Vec<Value>,
    file: Option<PathBuf>,
    started: Instant,
}

impl Book {
    /// An empty record; `file` is made at once, so that a wrong path is found before the work.
    pub fn new(file: Option<PathBuf>) -> std::io::Result<Self> {
        if let Some(path) = &file {
            std::fs::write(path, b"")?;
        }
        Ok(Self { entries: vec![], file, started: Instant::now() })
    }

    /// A heading; bold at a terminal, plain in a file or a pipe.
    pub fn chapter(&mut self, title: &str) {
        if std::io::stdout().is_terminal() {
            println!("\n\u{1b}[1m{title}\u{1b}[0m");
        } else {
            println!("\n{title}");
        }
        self.entries.push(json!({ "chapter": title }));
    }

    /// A line in plain words.
    pub fn say(&mut self, text: &str) {
        println!("{text}");
        self.entries.push(json!({ "text": text }));
    }

    /// A step that takes a while: a spinner while `work` runs, then a line.
    pub fn step<T, E>(&mut self, text: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.set_message(text.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        let began = Instant::now();
        let done = work();
        bar.finish_and_clear();
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mark = if done.is_ok() { "\u{2713}" } else { "\u{2717}" };
        println!("  {mark} {text} ({:.1} s)", took_ms as f64 / 1000.0);
        self.entries.push(json!({ "step": text, "ok": done.is_ok(), "took_ms": took_ms }));
        done
    }

    /// A table, plot or other text as a program printed it.
    pub fn show(&mut self, what: &str, text: &str) {
        for line in text.lines() {
            println!("    {line}");
        }
        self.entries.push(json!({ "shown": what, "text": text }));
    }

    /// Something for scripts alone.
    pub fn note(&mut self, what: &str, value: Value) {
        self.entries.push(json!({ "note": what, "value": value }));
    }

    /// Writes the JSON file, if one was asked for.
    pub fn save(&self, failure: Option<String>) -> std::io::Result<()> {
        let Some(path) = &self.file else { return Ok(()) };
        let whole = json!({
            "ok": failure.is_none(), "failure": failure,
            "took_s": self.started.elapsed().as_secs_f64(), "entries": self.entries,
        });
        std::fs::write(path, serde_json::to_vec_pretty(&whole).unwrap_or_default())
    }

    /// Seconds since the tour began.
    pub fn elapsed_s(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}
