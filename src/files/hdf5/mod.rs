//! Datasets of HDF5 files, read by the system's libhdf5. Without feature `hdf5` only their names are known, so that
//! whoever gives one hears what is missing.

#[cfg(feature = "hdf5")]
mod choose;
#[cfg(feature = "hdf5")]
mod dtype;
#[cfg(feature = "hdf5")]
mod input;
mod name;

#[cfg(feature = "hdf5")]
pub use input::Hdf5Input;
pub use name::DatasetName;
