//! A world in virtual time around the pure scheduler core: simulated workers, links and accidents, all seeded.
#![allow(dead_code)]

pub mod client;
mod copies;
mod dying;
pub mod elastic;
mod ending;
mod excuse;
mod losses;
mod made_up;
pub mod memory;
pub mod programs;
pub mod rng;
mod spilling;
mod uplinks;
pub mod values;
pub mod worker;
mod working;
pub mod world;
