//! A panic is a bug, and is told as one: exit code 3 and the text that a report needs.

use std::{
    panic,
    sync::{Mutex, PoisonError},
};

use crate::error::{Error, ErrorKind};

/// What the first panic of this process said. Later ones are mostly its consequences.
static FIRST: Mutex<Option<String>> = Mutex::new(None);

/// Keeps the text of a panic, in whichever thread, instead of printing it.
pub(crate) fn watch() {
    panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or("a panic without a text");
        let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line()));
        let thread = std::thread::current().name().map(|name| format!(" in thread `{name}`"));
        let mut first = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| {
            format!("{text}{}{}", place.unwrap_or_default(), thread.unwrap_or_default())
        });
    }));
}

/// Adds what a panic said, where there was one, to the error that it led to.
pub(crate) fn explain(error: Error) -> Error {
    if error.kind() != ErrorKind::Internal {
        return error;
    }
    match FIRST.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(text) => {
            error.because(text).because(format!("this is longshore {}", env!("CARGO_PKG_VERSION")))
        }
        None => error,
    }
}
