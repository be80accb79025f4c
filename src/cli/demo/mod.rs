mod database;
mod random;
mod shop;
mod words;
