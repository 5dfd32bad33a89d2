//! Rows of a matrix → columns of another.

use std::array::from_fn;

use super::{F4, Vector};

/// Rows that are read to the end of a cache line before the next columns.
const ROWS: usize = 16;

/// Value (r, c) is read at `r + c · apart[1]` and written at `r · apart[0] + c`; `size` is the number of r and of c.
///
/// # Panics
/// When a place lies outside.
pub fn transpose(from: &[f32], size: [usize; 2], apart: [usize; 2], to: &mut [f32]) {
    let [rows, columns] = size;
    if rows == 0 || columns == 0 {
        return;
    }
    assert!((rows - 1) * apart[0] + columns <= to.len());
    assert!((columns - 1) * apart[1] + rows <= from.len());
    let whole = size.map(|length| length / 4 * 4);
    for first in (0..whole[0]).step_by(ROWS) {
        for column in (0..whole[1]).step_by(4) {
            for row in (first..whole[0].min(first + ROWS)).step_by(4) {
                // SAFETY: the assertions above bound both matrices, and four more rows and columns are left.
                unsafe {
                    let from = from.as_ptr().add(row + column * apart[1]);
                    let to = to.as_mut_ptr().add(row * apart[0] + column);
                    let block = from_fn(|at| F4::load(from.add(at * apart[1])));
                    for (at, values) in F4::transposed(block).into_iter().enumerate() {
                        values.store(to.add(at * apart[0]));
                    }
                }
            }
        }
    }
    for column in 0..columns {
        // What is left: whole columns, or the last rows of one.
        let first = if column < whole[1] { whole[0] } else { 0 };
        if first == rows {
            continue;
        }
        let from = from[column * apart[1]..][..rows].iter().skip(first);
        let to = to[first * apart[0]..].iter_mut().skip(column);
        from.zip(to.step_by(apart[0].max(1)))
            .for_each(|(from, to)| *to = *from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_where_it_belongs_and_nothing_else_is_written() {
        for rows in [1, 3, 4, 7, 16, 21, 40] {
            for columns in [1, 2, 4, 5, 12, 19] {
                let apart = [columns + 3, rows + 2];
                let from: Vec<f32> = (0..columns * apart[1]).map(|n| n as f32).collect();
                let mut to = vec![-1.0; (rows - 1) * apart[0] + columns];
                transpose(&from, [rows, columns], apart, &mut to);
                for (at, &value) in to.iter().enumerate() {
                    let [row, column] = [at / apart[0], at % apart[0]];
                    let expected = match column < columns {
                        true => (row + column * apart[1]) as f32,
                        false => -1.0,
                    };
                    assert_eq!(value, expected, "{rows}×{columns} at {row}, {column}");
                }
            }
        }
    }
}
