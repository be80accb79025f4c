//! Progress as bars: a head line for the run, one line a running table, never more lines than a
//! terminal likes.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::{Level, running, words};
use crate::{
    cli::{
        render::{count, duration, visible},
        talk::Talk,
    },
    run::{Event, Observer},
    types::TableName,
};

/// Tables that have a line of their own at once.
const LINES: usize = 8;

/// How often lines are redrawn without news.
const TICK: Duration = Duration::from_millis(200);

/// Draws events.
pub(crate) struct Bars {
    talk: Talk,
    state: Mutex<State>,
}

struct State {
    head: ProgressBar,
    more: ProgressBar,
    title: String,
    tables: usize,
    /// Rows of each table that is staged.
    staged: HashMap<TableName, u64>,
    running: Vec<Running>,
}

struct Running {
    table: TableName,
    estimate: Option<u64>,
    rows: u64,
    /// Its line, where it has one.
    bar: Option<ProgressBar>,
}

impl Bars {
    /// Draws where `talk` goes.
    pub(crate) fn new(talk: &Talk) -> Self {
        let line = |style| talk.bars().add(ProgressBar::no_length().with_style(style));
        let state = State {
            head: line(head_style()),
            more: line(plain()),
            title: String::new(),
            tables: 0,
            staged: HashMap::new(),
            running: Vec::new(),
        };
        state.head.set_message("planning");
        state.head.enable_steady_tick(TICK);
        Self { talk: talk.clone(), state: Mutex::new(state) }
    }
}

impl Observer for Bars {
    fn event(&self, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { pipeline, extracts, models, .. } => {
                state.title = pipeline.to_string();
                state.tables = extracts + models;
                state.head.reset_elapsed();
            }
            Event::TableStarted { table, estimated_rows, .. } => {
                state.running.push(Running {
                    table: table.clone(),
                    estimate: *estimated_rows,
                    rows: 0,
                    bar: None,
                });
            }
            Event::TableProgress { table, rows } => state.advance(table, *rows),
            Event::TableStaged(step) => {
                state.stop(&step.table);
                state.staged.insert(step.table.clone(), step.rows);
            }
            Event::SnapshotLost { tables, .. } => tables.iter().for_each(|table| {
                state.stop(table);
                state.staged.remove(table);
            }),
            Event::Publishing { .. } => state.title += ": publishing",
            Event::Published { .. } => state.clear(),
            _ => {}
        }
        state.give_lines(&self.talk);
        state.refresh();
        drop(state);
        self.say(event);
    }
}

impl Bars {
    /// Above the bars stands what they can't show.
    fn say(&self, event: &Event) {
        let shown = matches!(
            event,
            Event::Started { .. }
                | Event::TableStarted { .. }
                | Event::TableStaged(_)
                | Event::Publishing { .. }
                | Event::Published { .. }
        );
        match words(event, self.talk.detail()) {
            Some((Level::Warn, text)) => self.talk.warn(&text),
            Some((Level::Info, text)) if !shown => self.talk.say(&text),
            _ => {}
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl State {
    fn advance(&mut self, table: &TableName, rows: u64) {
        if let Some(running) = self.running.iter_mut().find(|running| running.table == *table) {
            running.rows = running.rows.max(rows);
            if let Some(bar) = &running.bar {
                bar.set_position(running.rows);
            }
        }
    }

    fn stop(&mut self, table: &TableName) {
        if let Some(at) = self.running.iter().position(|running| running.table == *table)
            && let Some(bar) = self.running.remove(at).bar
        {
            bar.finish_and_clear();
        }
    }

    /// The longest-running tables have the lines.
    fn give_lines(&mut self, talk: &Talk) {
        for running in self.running.iter_mut().take(LINES) {
            if running.bar.is_none() {
                let bar = ProgressBar::no_length()
                    .with_position(running.rows)
                    .with_style(table_style(&running.table, running.estimate, talk.width()));
                let bar = talk.bars().insert_before(&self.more, bar);
                bar.enable_steady_tick(TICK);
                running.bar = Some(bar);
            }
        }
    }

    fn refresh(&self) {
        let rows: u64 = self.staged.values().sum::<u64>()
            + self.running.iter().map(|running| running.rows).sum::<u64>();
        self.head.set_message(format!(
            "{}  {} of {} tables  {} rows",
            self.title,
            self.staged.len(),
            self.tables,
            count(rows)
        ));
        let hidden = self.running.len().saturating_sub(LINES);
        self.more.set_message(match hidden {
            0 => String::new(),
            hidden => format!("  … and {} more", count(hidden as u64)),
        });
    }

    fn clear(&mut self) {
        for running in self.running.drain(..) {
            if let Some(bar) = running.bar {
                bar.finish_and_clear();
            }
        }
        self.more.finish_and_clear();
        self.head.finish_and_clear();
    }
}

/// The message and how long the run has taken.
fn head_style() -> ProgressStyle {
    let elapsed = |state: &ProgressState, out: &mut dyn fmt::Write| {
        // The sink is a string in memory.
        let _ = out.write_str(&duration(state.elapsed()));
    };
    ProgressStyle::with_template("{msg}  {time}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key("time", elapsed)
}

fn plain() -> ProgressStyle {
    // A template that can't be parsed would be a typing error here; the default is readable too.
    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn table_style(table: &TableName, estimate: Option<u64>, width: usize) -> ProgressStyle {
    let name = visible(&table.to_string()).into_owned();
    let line = move |state: &ProgressState, out: &mut dyn fmt::Write| {
        let line = running(&name, state.pos(), estimate, state.per_sec(), width);
        // The sink is a string in memory.
        let _ = out.write_str(&line);
    };
    ProgressStyle::with_template("{line}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key("line", line)
}
