//! axis → its parts, and what reshapes, cuts and tables make of them.

use tract_onnx::tract_core::internal::*;

use super::super::links::{Range, whole};

/// The most tokens before those of the grid: a class token and registers.
pub const MOST_PREFIX: usize = 16;

/// A factor of an axis. Lengths of 1 are not parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Part {
    pub(super) of: Of,
    pub(super) length: usize,
    /// The distance in rows or columns from one to the next.
    pub(super) step: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Of {
    Row,
    Column,
    /// Tokens without a place, then a grid, row by row.
    Tokens {
        prefix: usize,
        height: usize,
        width: usize,
    },
    Other,
}

pub(super) type Axis = TVec<Part>;

/// The axes of a table of places that splits an axis of rows or columns, like the windows of an
/// unfolding.
pub(super) fn windows(axis: &Axis, table: Option<Arc<Tensor>>) -> Option<Vec<Axis>> {
    let &[
        line @ Part {
            of: Of::Row | Of::Column,
            ..
        },
    ] = axis.as_slice()
    else {
        return None;
    };
    let table = table?;
    let &[height, width] = table.shape() else {
        return None;
    };
    let places = whole(&table)?;
    let place = |i: usize, j: usize| places.get(i * width + j).copied();
    let (down, right) = (place(1, 0)? - place(0, 0)?, place(0, 1)? - place(0, 0)?);
    let even = (0..height * width).all(|at| {
        let (i, j) = ((at / width) as i64, (at % width) as i64);
        places[at] == places[0] + i * down + j * right
    });
    let part = |length: usize, step: i64| Part {
        length,
        step: line.step * step as usize,
        ..line
    };
    if !even || down < 1 || right < 1 || height < 2 || width < 2 {
        return None;
    }
    let (rows, columns) = (tvec!(part(height, down)), tvec!(part(width, right)));
    let tiled = down == right * width as i64 || right == down * height as i64;
    Some(match (down, height) >= (right, width) {
        _ if tiled => vec![rows, columns],
        // If windows overlap, the places inside one are not part of the grid.
        true => vec![rows, other(width)],
        false => vec![other(height), columns],
    })
}

pub(super) fn part(of: Of, length: usize) -> Axis {
    match length {
        1 => tvec!(),
        _ => tvec!(Part {
            of,
            length,
            step: 1
        }),
    }
}

pub(super) fn other(length: usize) -> Axis {
    part(Of::Other, length)
}

pub(super) fn length(axis: &Axis) -> usize {
    axis.iter().map(|part| part.length).product()
}

pub(super) fn lengths(axes: &[Axis]) -> Vec<usize> {
    axes.iter().map(length).collect()
}

/// The tokens before a grid, its rows and its columns, if the parts are nothing else.
pub(super) fn grid(parts: &[Part]) -> Option<(usize, usize, usize)> {
    let kinds: TVec<Of> = parts.iter().map(|part| part.of).collect();
    match kinds[..] {
        [
            Of::Tokens {
                prefix,
                height,
                width,
            },
        ] => Some((prefix, height, width)),
        [Of::Row] => Some((0, parts[0].length, 1)),
        [Of::Column] => Some((0, 1, parts[0].length)),
        [Of::Row, Of::Column] => Some((0, parts[0].length, parts[1].length)),
        _ => None,
    }
}

pub(super) fn tokens(prefix: usize, height: usize, width: usize) -> Option<Axis> {
    let of = Of::Tokens {
        prefix,
        height,
        width,
    };
    let length = prefix + height * width;
    match prefix {
        0 => Some(
            [part(Of::Row, height), part(Of::Column, width)]
                .concat()
                .into(),
        ),
        _ if prefix <= MOST_PREFIX => Some(part(of, length)),
        _ => None,
    }
}

/// Merges parts that lie side by side as before they were cut.
pub(super) fn merge(axis: Axis) -> Axis {
    let mut merged = Axis::new();
    for part in axis {
        match merged.last_mut() {
            Some(last)
                if last.of == part.of
                    && (part.of == Of::Other || last.step == part.step * part.length) =>
            {
                last.length *= part.length;
                last.step = part.step;
            }
            _ => merged.push(part),
        }
    }
    merged
}

/// Some places of an axis.
pub(super) fn cut(axis: &Axis, range: &Range, length: usize) -> Axis {
    let all = self::length(axis);
    if length == all && range.step == 1 {
        return axis.clone();
    }
    match (axis.as_slice(), grid(axis)) {
        (&[Part { of, step, .. }], _) if matches!(of, Of::Row | Of::Column) && length > 1 => {
            let step = step * range.step.max(1);
            tvec!(Part { of, length, step })
        }
        (_, Some((prefix, height, width)))
            if range.step == 1 && range.end == all && range.start <= prefix =>
        {
            tokens(prefix - range.start, height, width).unwrap_or_else(|| other(length))
        }
        _ => other(length),
    }
}

/// An axis whose places all become wider or narrower.
pub(super) fn resized(axis: &Axis, to: usize) -> Axis {
    match axis[..] {
        _ if length(axis) == to => axis.clone(),
        [Part { of, length, step }] if matches!(of, Of::Row | Of::Column) && to > 1 => {
            let step = (step * length / to).max(1);
            tvec!(Part {
                of,
                length: to,
                step
            })
        }
        _ => other(to),
    }
}

pub(super) fn turned(op: &AxisOp, axes: &[Axis], shape: &[usize]) -> Option<Vec<Axis>> {
    let mut axes = axes.to_vec();
    match op {
        &AxisOp::Add(axis) => axes.insert(axis, Axis::new()),
        &AxisOp::Rm(axis) => drop(axes.remove(axis)),
        &AxisOp::Move(from, to) => {
            let axis = axes.remove(from);
            axes.insert(to, axis);
        }
        AxisOp::Reshape(at, from, to) => {
            let parts = axes[*at..at + from.len()].concat();
            let lengths = &shape[*at..at + to.len()];
            axes.splice(*at..at + from.len(), regrouped(&parts, lengths)?);
        }
    }
    Some(axes)
}

/// The parts distributed to axes of these lengths; none if an axis ends inside a part that cannot
/// be cut there.
pub(super) fn regrouped(parts: &[Part], lengths: &[usize]) -> Option<Vec<Axis>> {
    let mut pending: Vec<Part> = parts.iter().rev().copied().collect();
    let mut axes = Vec::new();
    for &length in lengths {
        let mut axis = Axis::new();
        let mut wanted = length;
        while wanted > 1 {
            let part = pending.pop()?;
            if wanted % part.length == 0 {
                wanted /= part.length;
                axis.push(part);
            } else if part.length % wanted == 0 && !matches!(part.of, Of::Tokens { .. }) {
                let inner = part.length / wanted;
                axis.push(Part {
                    length: wanted,
                    step: part.step * inner,
                    ..part
                });
                pending.push(Part {
                    length: inner,
                    ..part
                });
                wanted = 1;
            } else {
                return None;
            }
        }
        axes.push(axis);
    }
    pending.is_empty().then_some(axes)
}
