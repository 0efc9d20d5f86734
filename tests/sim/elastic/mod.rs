//! Elasticity in virtual time: the real core, the real policy and what feeds it, a made-up machine room, and an oracle.

pub mod case;
mod crew;
pub mod load;
pub mod oracle;
mod sites;
pub mod table;
pub mod world;
