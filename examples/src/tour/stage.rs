//! The processes of the tour: each role is this very binary run again, with its own folder, its own
//! keys and a log file. Long-lived ones end when their standard input closes, so none outlives the
//! tour.

use crate::ROLE;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Longest a long-lived process may take to say that it is ready.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// Lines of a log that are shown when something failed.
const LOG_LINES_SHOWN: usize = 15;
/// The passphrase of every key of the tour. A demonstration's keys live as long as its folder.
const PASSPHRASE: &str = "a tour's keys guard nothing";

/// Why a process did not do its part.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// Files or processes.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        error: std::io::Error,
    },
    /// A command ended with an error.
    #[error("`{command}` failed: {output}")]
    Failed {
        /// The command as a person would type it.
        command: String,
        /// What it said.
        output: String,
    },
    /// A command that had to fail did not.
    #[error("`{command}` had to be refused and was not")]
    NotRefused {
        /// The command.
        command: String,
    },
    /// A command was refused, but not for the reason that was expected.
    #[error("`{command}` had to be refused with \"{telling}\", but it said: {said}")]
    RefusedOtherwise {
        /// The command.
        command: String,
        /// The words that tell the expected reason.
        telling: String,
        /// What it said.
        said: String,
    },
    /// A long-lived process ended before it was ready.
    #[error("`{command}` ended before it was ready: the last lines of its log say why")]
    Ended {
        /// The command.
        command: String,
    },
    /// A long-lived process did not get ready.
    #[error("`{command}` did not get ready within {} s", READY_DEADLINE.as_secs())]
    NotReady {
        /// The command.
        command: String,
    },
    /// What a command printed is not what it promises.
    #[error("`{command}` printed something unexpected: {output}")]
    Output {
        /// The command.
        command: String,
        /// What it printed.
        output: String,
    },
}

/// The folder and the processes of one tour.
pub struct Stage {
    root: PathBuf,
    temporary: Option<tempfile::TempDir>,
    running: Vec<Running>,
}

struct Running {
    name: String,
    child: Child,
    // Closing it ends the child.
    stdin: Option<ChildStdin>,
    log: PathBuf,
}

impl Stage {
    /// A fresh folder; kept afterwards when asked.
    pub fn new(keep: bool) -> Result<Self, StageError> {
        let temporary = tempfile::Builder::new()
            .prefix("cloister-tour-")
            .tempdir()
            .map_err(io("making a folder for the tour"))?;
        let root = temporary.path().to_owned();
        let mut stage = Self { root, temporary: Some(temporary), running: vec![] };
        if keep {
            stage.keep();
        }
        Ok(stage)
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file below the folder; its path.
    pub fn write(&self, path: &str, text: &str) -> Result<PathBuf, StageError> {
        let path = self.root.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io("making a folder"))?;
        }
        std::fs::write(&path, text).map_err(io("writing a file"))?;
        Ok(path)
    }

    /// Runs `role` with `args` to its end; what it printed on standard output.
    pub fn run(&self, role: &str, args: &[&str]) -> Result<String, StageError> {
        let (ok, out, err) = self.output(role, args)?;
        if ok {
            Ok(out)
        } else {
            Err(StageError::Failed { command: typed(role, args), output: err })
        }
    }

    /// As [`Stage::run`], with the output as JSON.
    pub fn run_json(&self, role: &str, args: &[&str]) -> Result<serde_json::Value, StageError> {
        let output = self.run(role, args)?;
        serde_json::from_str(&output)
            .map_err(|_| StageError::Output { command: typed(role, args), output })
    }

    /// Runs a command that must be refused for one reason, which the words `telling` name; what it said.
    pub fn run_refused(
        &self,
        role: &str,
        args: &[&str],
        telling: &str,
    ) -> Result<String, StageError> {
        let (ok, _, said) = self.output(role, args)?;
        let (command, said) = (typed(role, args), said.trim().to_owned());
        if ok {
            return Err(StageError::NotRefused { command });
        }
        if !said.contains(telling) {
            let telling = telling.to_owned();
            return Err(StageError::RefusedOtherwise { command, telling, said });
        }
        Ok(said)
    }

    fn output(&self, role: &str, args: &[&str]) -> Result<(bool, String, String), StageError> {
        let output = self
            .command(role, args)?
            .stdin(Stdio::null())
            .output()
            .map_err(io("starting a process"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.success(), text(&output.stdout), text(&output.stderr)))
    }

    /// Starts a long-lived process and waits for its JSON ready line.
    pub fn start(
        &mut self,
        name: &str,
        role: &str,
        args: &[&str],
    ) -> Result<serde_json::Value, StageError> {
        let log = self.root.join(format!("{name}.log"));
        let file = File::create(&log).map_err(io("making a log"))?;
        let mut child = self
            .command(role, args)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .map_err(io("starting a process"))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        self.running.push(Running { name: name.to_owned(), child, stdin, log });
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let Some(stdout) = stdout else { return };
            let mut lines = BufReader::new(stdout);
            let mut line = String::new();
            // No bytes: the process closed its output, and dropping the sender says so.
            if !matches!(lines.read_line(&mut line), Ok(1..)) {
                return;
            }
            let _ = sender.send(line);
            let _ = lines.read_to_end(&mut vec![]);
        });
        let command = typed(role, args);
        let line = match receiver.recv_timeout(READY_DEADLINE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => return Err(StageError::Ended { command }),
            Err(RecvTimeoutError::Timeout) => return Err(StageError::NotReady { command }),
        };
        serde_json::from_str(&line).map_err(|_| StageError::Output { command, output: line })
    }

    fn command(&self, role: &str, args: &[&str]) -> Result<Command, StageError> {
        let itself = std::env::current_exe().map_err(io("finding this program"))?;
        let mut command = Command::new(itself);
        command.arg(ROLE).arg(role).args(args).current_dir(&self.root);
        command.env("CLOISTER_PASSPHRASE", PASSPHRASE);
        Ok(command)
    }

    /// Keeps the folder.
    pub fn keep(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            self.root = temporary.keep();
            eprintln!("the folder is kept: {}", self.root.display());
        }
    }

    /// Shows the last lines of every log, and keeps the folder.
    pub fn keep_and_show_logs(&mut self) {
        for running in &self.running {
            let text = std::fs::read_to_string(&running.log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let from = lines.len().saturating_sub(LOG_LINES_SHOWN);
            eprintln!("--- last lines of {}:", running.name);
            for line in lines.iter().skip(from) {
                eprintln!("    {line}");
            }
        }
        self.keep();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for running in &mut self.running {
            running.stdin.take();
        }
        for running in &mut self.running {
            // A process that ignores its closed input must not outlive the tour.
            for _ in 0..50 {
                if matches!(running.child.try_wait(), Ok(Some(_))) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

/// The command as a person would type it.
pub fn typed(role: &str, args: &[&str]) -> String {
    let program = match role {
        "node" => "cloister-node",
        "coordinator" => "cloister-coordinator",
        other => other,
    };
    let quoted = args.iter().map(|arg| match arg.contains(' ') {
        true => format!("\"{arg}\""),
        false => (*arg).to_owned(),
    });
    std::iter::once(program.to_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
}

fn io(what: &str) -> impl FnOnce(std::io::Error) -> StageError {
    let what = what.to_owned();
    move |error| StageError::Io { what, error }
}
