//! All kinds of stages. A family of kinds has a module here with what its stages hold, one in `builders/` with how they
//! are put into a program, and one in `exec/kinds/` with what their tasks cost and do.

mod delayed;
mod elementwise;
mod fill;
mod io;
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
pub use product::Gemm;
pub use properties::{Io, Share};
pub use reduction::{Combine, Finish, Reduce};
pub use sketch::FixSigns;
pub use tall::{Down, Half, LeafApply, LeafR, Merge, Part, RootQr, RootSvd, Seed, Triangle, Unpack};
pub(crate) use tall::{packed_len, rows_below};

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
    /// Gathered blocks of equal shape, added in order.
    AddUp,
    Gemm(Gemm),
    /// `Aᵀ(A·X)` of one row block.
    GramApply,
    LeafR(LeafR),
    Merge(Merge),
    Triangle(Triangle),
    RootSvd(RootSvd),
    RootQr(RootQr),
    Down(Down),
    Half(Half),
    LeafApply(LeafApply),
    Unpack(Unpack),
    FixSigns(FixSigns),
    Write(WriteOutput),
    Delayed(Arc<Calls>),
    /// Nothing at all: measures the scheduler.
    Null,
}

impl Kind {
    fn properties(&self) -> Properties {
        match self {
            Kind::Read(_) => Properties::new("read", Share::Grid).with_io(Io::Read).of_source(),
            Kind::Fill(_) => Properties::new("fill", Share::Grid).of_source(),
            Kind::Map(_) => Properties::new("map", Share::Grid),
            Kind::Reduce(reduce) => Properties::new("reduce", Share::Grid).with_grid(reduce.grid),
            Kind::Combine(_) => Properties::new("combine", Share::Whole),
            Kind::Finish(_) => Properties::new("finish", Share::Whole),
            Kind::AddUp => Properties::new("add-up", Share::Whole),
            Kind::Gemm(gemm) => Properties::new("gemm", Share::Product { ta: gemm.ta }),
            Kind::GramApply => Properties::new("gram-apply", Share::Input),
            Kind::LeafR(_) => Properties::new("leaf-r", Share::Input),
            Kind::Merge(_) => Properties::new("merge", Share::Whole),
            Kind::Triangle(_) => Properties::new("triangle", Share::Whole),
            Kind::RootSvd(_) => Properties::new("root-svd", Share::Whole),
            Kind::RootQr(_) => Properties::new("root-qr", Share::Whole),
            Kind::Down(_) => Properties::new("down", Share::Whole),
            Kind::Half(_) => Properties::new("half", Share::Whole),
            Kind::LeafApply(_) => Properties::new("leaf-apply", Share::Input),
            Kind::Unpack(_) => Properties::new("unpack", Share::Whole),
            Kind::FixSigns(_) => Properties::new("fix-signs", Share::Whole),
            Kind::Write(write) => {
                Properties::new("write", Share::Grid).with_io(Io::Write).with_grid(write.grid)
            }
            Kind::Delayed(_) => Properties::new("delayed", Share::Whole),
            Kind::Null => Properties::new("null", Share::Whole),
        }
    }

    /// A word for reports.
    pub fn name(&self) -> &'static str {
        self.properties().name
    }

    /// How much work a ragged task is.
    pub fn share(&self) -> Share {
        self.properties().share
    }

    /// What its tasks move between memory and a device.
    pub fn io(&self) -> Option<Io> {
        self.properties().io
    }

    /// Are its blocks as cheap to read or make again as to write and read back?
    pub fn is_source(&self) -> bool {
        self.properties().is_source
    }

    /// Tasks of this kind wait for a device: they hold memory, not a core.
    pub fn is_io(&self) -> bool {
        self.io().is_some()
    }

    /// The grid that its tasks go over, if that is not the one of the blocks that they make.
    pub(super) fn grid(&self) -> Option<BlockGrid> {
        self.properties().grid
    }
}
