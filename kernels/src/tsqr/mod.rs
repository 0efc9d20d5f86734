//! Tall-skinny QR in pieces: leaves that read blocks of rows, and merges of the triangles they leave.
//!
//! Householder throughout, hence backward stable whatever the condition number, with exact zeros and
//! repeated columns included (Demmel, Grigori, Hoemmen, Langou 2012). Each column is scaled by its own power
//! of two where its size asks for it, which changes no bit of Q; R overflows only if the norm of a column does.
//!
//! `Q` is orthonormal to a small multiple of `EPS` also where R is singular. Signs of R's rows are arbitrary
//! here: [`crate::svd::fix_diagonal`] makes the diagonal positive.

mod leaf;
mod merge;
mod panel;

pub use leaf::{leaf_apply, leaf_apply_flops, leaf_apply_workspace, leaf_flops, leaf_r, leaf_workspace};
pub use merge::{
    factor_len, factor_r, merge, merge_apply, merge_apply_flops, merge_apply_workspace, merge_flops,
    merge_workspace,
};
