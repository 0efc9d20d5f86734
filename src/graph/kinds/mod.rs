//! All kinds of stages. A family of kinds has a module here with what its stages hold and say of themselves, one in
//! `builders/` with how they are put into a program, and one in `exec/kinds/` with what their tasks cost and do.

mod delayed;
mod elementwise;
mod fill;
mod io;
mod null;
mod product;
mod properties;
mod reduction;
mod sketch;
mod tall;

pub(crate) use delayed::RESULT_HEADER;
pub use delayed::{CallInput, Calls};
pub use elementwise::{Map, MapOp, Operand};
pub use fill::FillBlock;
pub use io::{ReadInput, WriteOutput};
pub use null::Null;
pub use product::Gemm;
pub use properties::{Io, Share};
pub use reduction::{AddUp, Combine, Finish, Reduce};
pub use sketch::{FixSigns, GramApply};
pub(crate) use tall::rows_below;
pub use tall::{Down, LeafApply, LeafR, Merge, Part, RootQr, RootSvd, Seed, Unpack};

use crate::array::BlockGrid;
use properties::Properties;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The operation of a stage.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Kind {
    Read(ReadInput),
    Fill(FillBlock),
    Map(Map),
    Reduce(Reduce),
    Combine(Combine),
    Finish(Finish),
    AddUp,
    Gemm(Gemm),
    GramApply,
    LeafR(LeafR),
    Merge(Merge),
    RootSvd(RootSvd),
    RootQr(RootQr),
    Down(Down),
    LeafApply(LeafApply),
    Unpack(Unpack),
    FixSigns(FixSigns),
    Write(WriteOutput),
    Delayed(Arc<Calls>),
    Null,
}

impl Kind {
    fn properties(&self) -> &dyn Properties {
        match self {
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
            Kind::RootSvd(kind) => kind,
            Kind::RootQr(kind) => kind,
            Kind::Down(kind) => kind,
            Kind::LeafApply(kind) => kind,
            Kind::Unpack(kind) => kind,
            Kind::FixSigns(kind) => kind,
            Kind::Write(kind) => kind,
            Kind::Delayed(calls) => calls.as_ref(),
            Kind::Null => &Null,
        }
    }

    /// A word for reports.
    pub fn name(&self) -> &'static str {
        self.properties().name()
    }

    /// How much work a ragged task is.
    pub fn share(&self) -> Share {
        self.properties().share()
    }

    /// What its tasks move between memory and a device.
    pub fn io(&self) -> Option<Io> {
        self.properties().io()
    }

    /// Are its blocks as cheap to read or make again as to write and read back?
    pub fn is_source(&self) -> bool {
        self.properties().is_source()
    }

    /// Tasks of this kind wait for a device: they hold memory, not a core.
    pub fn is_io(&self) -> bool {
        self.io().is_some()
    }

    /// The grid that its tasks go over, if that is not the one of the blocks that they make.
    pub(super) fn grid(&self) -> Option<BlockGrid> {
        self.properties().grid()
    }
}
