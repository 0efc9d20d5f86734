//! Numbers of things, for people.

/// `1 thread`, `2 threads`.
pub fn counted(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}
