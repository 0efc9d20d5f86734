//! What black-box tests share. Nothing here comes from the code under test.
#![allow(dead_code, reason = "each test program uses its own part")]

pub mod dolmen;
pub mod matrix;
pub mod npy;
