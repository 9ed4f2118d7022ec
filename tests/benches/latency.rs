//! The latency bench is written last. 
fn main() {}
