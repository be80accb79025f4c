//! A panic is a bug, and is told as one: exit code 3 and the text that a report needs.

use std::{
    any::Any,
    panic,
    sync::{Mutex, PoisonError},
};

use crate::error::{Error, ErrorKind};

/// What the first panic of this process said. Later ones are mostly its consequences.
static FIRST: Mutex<Option<String>> = Mutex::new(None);

/// Keeps the text of a panic, in whichever thread, instead of printing it.
pub(crate) fn watch() {
    panic::set_hook(Box::new(|info| {
        let text = text(info.payload());
        let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line()));
        let thread = std::thread::current().name().map(|name| format!(" in thread `{name}`"));
        let mut first = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| {
            format!("{text}{}{}", place.unwrap_or_default(), thread.unwrap_or_default())
        });
    }));
}

/// What a panic said, if that was written by a programmer alone: a text that was put together while
/// the program ran could hold a secret or a row's value. The place tells the rest.
fn text(payload: &dyn Any) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("a panic")
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

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn a_panic_does_not_tell_what_was_put_into_its_text() {
        let secret = String::from("canary");
        let payload = catch_unwind(|| panic!("no connection with {secret}")).unwrap_err();
        assert_eq!(text(&*payload), "a panic");
        let payload = catch_unwind(|| panic!("a list without an end")).unwrap_err();
        assert_eq!(text(&*payload), "a list without an end");
    }
}
