//! The command line.

mod args;
mod demo;
mod export;
mod render;
mod talk;
