//! From a kind of stage to what its tasks cost and do: a module for each family, named as in `graph/kinds/`.

mod delayed;
mod elementwise;
mod fill;
mod io;
mod null;
mod product;
mod reduction;
mod sketch;
mod tall;

pub(super) use delayed::unpack;

use super::execute::Execute;
use crate::data::Real;
use crate::graph::Kind;
use null::Null;
use reduction::AddUp;
use sketch::GramApply;

/// What executes a kind of stage.
pub(super) fn as_execute<T: Real>(kind: &Kind) -> &dyn Execute<T> {
    match kind {
        Kind::Read(kind) => kind,
        Kind::Fill(kind) => kind,
        Kind::Map(kind) => kind,
        Kind::Reduce(kind) => kind,
        Kind::Combine(kind) => kind,
        Kind::Finish(kind) => kind,
        Kind::AddUp => &AddUp,
        Kind::Gemm(kind) => kind,
        Kind::GramApply => &GramApply,
        Kind::LeafR(kind) => kind,
        Kind::Merge(kind) => kind,
        Kind::Triangle(kind) => kind,
        Kind::RootSvd(kind) => kind,
        Kind::RootQr(kind) => kind,
        Kind::Down(kind) => kind,
        Kind::Half(kind) => kind,
        Kind::LeafApply(kind) => kind,
        Kind::Unpack(kind) => kind,
        Kind::FixSigns(kind) => kind,
        Kind::Write(kind) => kind,
        Kind::Delayed(calls) => calls.as_ref(),
        Kind::Null => &Null,
    }
}
