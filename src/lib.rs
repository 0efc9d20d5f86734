//! Dolmen.
