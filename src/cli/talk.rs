//! The process's voice: stdout is data, stderr is talk, and progress bars live on stderr too.
//!
//! All printing of the crate goes through [`Output`] and [`Talk`]. A write to stdout that fails is
//! an outcome ([`Stop`]); talk that nobody hears is no reason to stop.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use console::Term;
use indicatif::{MultiProgress, ProgressDrawTarget};

use super::{
    args::{Color, Global},
    render::{self, Paint},
};
use crate::error::{Error, ErrorKind};

/// Why a verb ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It failed.
    Failed(Error),
    /// It failed, and all that is to be said was said.
    Told {
        /// The exit code.
        exit: u8,
    },
    /// Whoever read stdout has heard enough: success.
    NobodyListens,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Writing to stdout failed; a reader that went away is not an error.
impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::NobodyListens;
        }
        Self::Failed(Error::new(ErrorKind::Storage, "stdout can't be written").because(error))
    }
}

/// A verb's result.
pub(crate) type Outcome<T = ()> = Result<T, Stop>;

/// How much to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Detail {
    /// Errors only.
    Quiet,
    /// What an operator needs.
    Brief,
    /// What somebody who wonders needs.
    Full,
}

/// Writes results to stdout.
pub(crate) struct Output {
    writer: io::BufWriter<Box<dyn Write>>,
    paint: Paint,
    /// The terminal's columns; `None` where stdout is not a terminal.
    width: Option<usize>,
}

impl Output {
    /// Stdout as the options ask for it.
    pub(crate) fn stdout(global: &Global) -> Self {
        let term = Term::stdout();
        let paint = paint(global.color, console::colors_enabled());
        let width = term.is_term().then(|| usize::from(term.size().1));
        Self { writer: io::BufWriter::new(Box::new(io::stdout().lock())), paint, width }
    }

    /// Writes `text`, control characters in it escaped.
    pub(crate) fn print(&mut self, text: &str) -> Outcome {
        Ok(self.writer.write_all(self.paint.tamed(text).as_bytes())?)
    }

    /// Writes `value` as indented JSON and a newline.
    pub(crate) fn json(&mut self, value: &impl serde::Serialize) -> Outcome {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Error::internal(format!("a result can't be JSON: {error}")))?;
        Ok(self.writer.write_all((text + "\n").as_bytes())?)
    }

    /// The stream itself, for rows.
    pub(crate) fn writer(&mut self) -> &mut dyn Write {
        &mut self.writer
    }

    /// Whether and how to colour what is printed here.
    pub(crate) fn paint(&self) -> Paint {
        self.paint
    }

    /// The terminal's columns; `None` where stdout is not a terminal.
    pub(crate) fn width(&self) -> Option<usize> {
        self.width
    }

    /// Hands everything over; call it before saying that something is done.
    pub(crate) fn flush(&mut self) -> Outcome {
        Ok(self.writer.flush()?)
    }
}

/// Talks on stderr, around any bars there. Cloning shares the stream.
#[derive(Clone)]
pub(crate) struct Talk {
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
    bars: MultiProgress,
    paint: Paint,
    detail: Detail,
    width: usize,
}

impl Talk {
    /// Stderr as the options ask for it.
    pub(crate) fn stderr(global: &Global) -> Self {
        let term = Term::stderr();
        let draws = term.is_term() && !console::is_dumb() && !global.quiet && !global.no_progress;
        let target =
            if draws { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let detail = match (global.quiet, global.verbose) {
            (true, _) => Detail::Quiet,
            (false, 0) => Detail::Brief,
            (false, _) => Detail::Full,
        };
        Self {
            writer: Arc::new(Mutex::new(Box::new(io::stderr()))),
            bars: MultiProgress::with_draw_target(target),
            paint: paint(global.color, console::colors_enabled_stderr()),
            detail,
            width: usize::from(term.size().1),
        }
    }

    /// Says `text` in a line of its own, unless asked to be quiet.
    pub(crate) fn say(&self, text: &str) {
        if self.detail > Detail::Quiet {
            self.raw(&format!("{text}\n"));
        }
    }

    /// Warns, unless asked to be quiet.
    pub(crate) fn warn(&self, text: &str) {
        self.say(&format!("{}: {text}", self.paint.warn("warning")));
    }

    /// Says what went wrong, always.
    pub(crate) fn error(&self, error: &Error) {
        self.raw(&render::error(error, self.paint));
    }

    /// Writes `text` above any bars, control characters in it escaped.
    pub(crate) fn raw(&self, text: &str) {
        let text = self.paint.tamed(text);
        self.bars.suspend(|| {
            let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            // Talk that nobody hears must not stop the work.
            let _ = writer.write_all(text.as_bytes()).and_then(|()| writer.flush());
        });
    }

    /// How much to say.
    pub(crate) fn detail(&self) -> Detail {
        self.detail
    }

    /// Whether and how to colour what is said.
    pub(crate) fn paint(&self) -> Paint {
        self.paint
    }

    /// Whether bars can be seen.
    pub(crate) fn draws_bars(&self) -> bool {
        !self.bars.is_hidden()
    }

    /// Where bars go.
    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// The terminal's columns.
    pub(crate) fn width(&self) -> usize {
        self.width
    }
}

/// Log lines are talk.
impl Write for Talk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // An event is one line, whatever it tells of.
        let text = String::from_utf8_lossy(bytes);
        self.raw(&format!("{}\n", render::visible(text.trim_end_matches('\n'))));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn paint(color: Color, supported: bool) -> Paint {
    match color {
        Color::Always => Paint::Ansi,
        Color::Auto if supported => Paint::Ansi,
        Color::Auto | Color::Never => Paint::Plain,
    }
}

#[cfg(test)]
mod captured {
    use super::*;

    /// What was written to a captured stream.
    #[derive(Clone, Default)]
    pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        /// All of it.
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Talk {
        /// Talk into memory.
        pub(crate) fn captured(detail: Detail) -> (Self, Written) {
            let written = Written::default();
            let talk = Self {
                writer: Arc::new(Mutex::new(Box::new(written.clone()))),
                bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
                paint: Paint::Plain,
                detail,
                width: 100,
            };
            (talk, written)
        }
    }

    impl Output {
        /// Output into memory.
        pub(crate) fn captured(width: Option<usize>) -> (Self, Written) {
            let written = Written::default();
            let writer = io::BufWriter::new(Box::new(written.clone()) as Box<dyn Write>);
            (Self { writer, paint: Paint::Plain, width }, written)
        }
    }
}
