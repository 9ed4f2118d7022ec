//! What the tour and the tests of this workspace share: made-up partners whose data looks like
//! real life, and what is asked of them. It must never hold a real record, nor anything that a node
//! or a coordinator needs.

pub mod cast;
pub mod scenario;
