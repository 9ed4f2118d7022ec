//! Stops a batch that hangs, by the engine's epoch. The whole job is given up then.
//!
//! Must never end one person's run alone: what a person contributes depends on fuel, not on a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use wasmtime::Engine;

use crate::limits::WATCHDOG_REPEAT_MS;

/// A thread that counts down while a batch runs.
pub(crate) struct Watchdog {
    orders: Sender<Order>,
    expired: Arc<AtomicBool>,
}

enum Order {
    Arm,
    Disarm,
}

impl Watchdog {
    /// Starts the thread; it ends when the value is dropped.
    ///
    /// # Errors
    /// The system's, when no thread can be started.
    pub(crate) fn start(engine: &Engine, limit_ms: u64) -> std::io::Result<Watchdog> {
        let (orders, inbox) = channel();
        let expired = Arc::new(AtomicBool::new(false));
        let (engine, flag) = (engine.clone(), Arc::clone(&expired));
        let limit = Duration::from_millis(limit_ms);
        thread::Builder::new()
            .name("cloister-watchdog".to_owned())
            .spawn(move || watch(&inbox, limit, &engine, &flag))?;
        Ok(Watchdog { orders, expired })
    }

    /// Starts the countdown.
    pub(crate) fn arm(&self) {
        // A watchdog that is gone cannot count down: count it as expired.
        if self.orders.send(Order::Arm).is_err() {
            self.expired.store(true, Ordering::SeqCst);
        }
    }

    /// Ends the countdown.
    pub(crate) fn disarm(&self) {
        if self.orders.send(Order::Disarm).is_err() {
            self.expired.store(true, Ordering::SeqCst);
        }
    }

    /// True once a countdown ran out: the job is over.
    pub(crate) fn expired(&self) -> bool {
        self.expired.load(Ordering::SeqCst)
    }
}

fn watch(inbox: &Receiver<Order>, limit: Duration, engine: &Engine, expired: &AtomicBool) {
    while let Ok(order) = inbox.recv() {
        if matches!(order, Order::Disarm) {
            continue;
        }
        let mut wait = limit;
        loop {
            match inbox.recv_timeout(wait) {
                Ok(_) => break,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    expired.store(true, Ordering::SeqCst);
                    // Repeated: a stop that falls between two persons would not reach the next.
                    engine.increment_epoch();
                    wait = Duration::from_millis(WATCHDOG_REPEAT_MS);
                }
            }
        }
    }
}
