//! The warehouse as its callers see it: an exam that each format passes, crashes at every step,
//! faults of the store, and races.

/// One test for each case of a checking function.
macro_rules! cases {
    ($check:ident: $($name:ident($($argument:expr),*)),+ $(,)?) => {
        mod $check {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$check($($argument),*).await;
                }
            )+
        }
    };
}

mod clean;
mod crash;
mod exam;
mod faults;
mod foreign;
mod frozen;
mod publishing;
mod rollback;
mod site;
