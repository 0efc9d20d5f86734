//! Where a block of a matrix and a grid of tiles meet.

use crate::data::Region;
use std::ops::Range;

/// The part of a block that lies in one tile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Window {
    /// Row and column of the tile in the grid.
    pub tile: (u64, u64),
    /// The part, counted from the tile's first row and column.
    pub part: Region,
    /// Index of the part's first element in the block, which is row-major.
    pub first: usize,
}

impl Window {
    /// Is it the whole of a tile of this shape?
    pub fn covers(&self, (rows, cols): (u64, u64)) -> bool {
        self.part == Region::new(0..rows, 0..cols)
    }
}

/// The windows of a block on tiles of shape `tile`, in the order of the tiles.
pub(super) fn windows(block: &Region, tile: (u64, u64)) -> impl Iterator<Item = Window> + use<> {
    let width = block.width() as usize;
    let Region { rows, cols } = block.clone();
    let down = cuts(rows, tile.0);
    down.flat_map(move |(i, within_rows, above)| {
        cuts(cols.clone(), tile.1).map(move |(j, within_cols, left)| Window {
            tile: (i, j),
            part: Region::new(within_rows.clone(), within_cols),
            first: above as usize * width + left as usize,
        })
    })
}

/// The tiles that a range crosses: their numbers, the ranges within them, and how much of the range lies before.
fn cuts(range: Range<u64>, tile: u64) -> impl Iterator<Item = (u64, Range<u64>, u64)> {
    let tiles = if range.is_empty() { 0..0 } else { range.start / tile..(range.end - 1) / tile + 1 };
    tiles.map(move |at| {
        let begin = at * tile;
        let (start, end) = (range.start.max(begin), range.end.min(begin + tile));
        (at, start - begin..end - begin, start - range.start)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_tile_the_block() {
        for (rows, cols) in [(0..10, 0..7), (3..9, 2..7), (5..6, 6..7), (4..4, 0..7)] {
            for tile in [(1, 1), (3, 2), (4, 100), (100, 100)] {
                let (height, width) = (rows.end - rows.start, cols.end - cols.start);
                let mut seen = vec![0; (height * width) as usize];
                for window in windows(&Region::new(rows.clone(), cols.clone()), tile) {
                    for i in 0..window.part.height() {
                        for j in 0..window.part.width() {
                            let at = window.first + (i * width + j) as usize;
                            seen[at] += 1;
                            let row = window.tile.0 * tile.0 + window.part.rows.start + i;
                            let col = window.tile.1 * tile.1 + window.part.cols.start + j;
                            let place = (row - rows.start) * width + col - cols.start;
                            assert_eq!(at as u64, place, "{window:?} of {rows:?} x {cols:?}");
                        }
                    }
                }
                assert!(seen.iter().all(|times| *times == 1), "{rows:?} x {cols:?} in tiles of {tile:?}");
            }
        }
    }
}
