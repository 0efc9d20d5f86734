//! Zarr arrays in and out, through the program. Input is made by the crate `zarrs`, output is read by it.

#[path = "../support/mod.rs"]
mod support;

mod arrays;
mod python;
mod read;
mod refused;
mod written;
