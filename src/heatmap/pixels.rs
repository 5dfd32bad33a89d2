//! Where the pixels of an input lie, and which of them a cell of a map covers.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::manifest::Layout;
use crate::preprocess::Tensor;

/// The pixels of an input of one image.
#[derive(Debug, Clone, Copy)]
pub struct Pixels {
    layout: Layout,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

impl Pixels {
    /// # Errors
    /// [`Error::BadOption`] when the input is not a batch of one image.
    pub fn of(input: &Tensor, layout: Layout) -> Result<Pixels> {
        let (channels, height, width) = match (layout, input.shape.as_slice()) {
            (Layout::Nchw, &[1, c, h, w]) | (Layout::Nhwc, &[1, h, w, c]) => (c, h, w),
            (_, shape) => {
                return Err(Error::BadOption(format!(
                    "the input has the shape {shape:?}, expected a batch of one image"
                )));
            }
        };
        Ok(Pixels {
            layout,
            channels,
            height,
            width,
        })
    }

    /// Place of a value in the tensor.
    pub fn place(&self, channel: usize, y: usize, x: usize) -> usize {
        match self.layout {
            Layout::Nchw => (channel * self.height + y) * self.width + x,
            Layout::Nhwc => (y * self.width + x) * self.channels + channel,
        }
    }

    /// The input with other pixels: at each row and column, those from the place that is told.
    fn taken(&self, input: &Tensor, from: impl Fn(usize, usize) -> (usize, usize)) -> Tensor {
        let mut taken = input.clone();
        for row in 0..self.height {
            for column in 0..self.width {
                let (y, x) = from(row, column);
                for channel in 0..self.channels {
                    taken.values[self.place(channel, row, column)] =
                        input.values[self.place(channel, y, x)];
                }
            }
        }
        taken
    }

    /// The input moved by `x` pixels to the right and `y` down, its edges repeated.
    pub fn shifted(&self, input: &Tensor, x: isize, y: isize) -> Tensor {
        let from = |at: usize, by: isize, size: usize| {
            (at as isize - by).clamp(0, size as isize - 1) as usize
        };
        self.taken(input, |row, column| {
            (from(row, y, self.height), from(column, x, self.width))
        })
    }

    /// The mirror image of the input, left to right.
    pub fn mirrored(&self, input: &Tensor) -> Tensor {
        self.taken(input, |row, column| (row, self.width - 1 - column))
    }

    /// Rows and columns of pixels that lie under cells of a map of `rows` × `columns` over the input.
    pub fn covered(
        &self,
        cells: [Range<usize>; 2],
        [rows, columns]: [usize; 2],
    ) -> [Range<usize>; 2] {
        let pixels = |cells: &Range<usize>, of: usize, size: usize| {
            cells.start * size / of..cells.end * size / of
        };
        [
            pixels(&cells[0], rows, self.height),
            pixels(&cells[1], columns, self.width),
        ]
    }

    /// Places of all values of the pixels that lie under cells of a map of `rows` × `columns` over the input.
    pub fn under(
        &self,
        cells: [Range<usize>; 2],
        [rows, columns]: [usize; 2],
    ) -> impl Iterator<Item = usize> + use<> {
        let [down, across] = self.covered(cells, [rows, columns]);
        let own = *self;
        down.flat_map(move |y| across.clone().map(move |x| (y, x)))
            .flat_map(move |(y, x)| (0..own.channels).map(move |c| own.place(c, y, x)))
    }
}
