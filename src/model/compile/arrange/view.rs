//! A tensor as a part of a buffer: where its first value lies, and how far apart neighbours are along each axis.
//! Moving, cutting, repeating and reshaping a tensor mostly makes another view of the same values.

use crate::model::run::steps::loops::{Loop, Loops};

/// One axis of a [`View`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Axis {
    pub length: usize,
    pub stride: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct View {
    pub buffer: usize,
    pub start: usize,
    pub axes: Vec<Axis>,
}

/// Axes of this shape, row-major.
fn dense(shape: &[usize]) -> Vec<Axis> {
    let mut axes: Vec<Axis> = shape
        .iter()
        .map(|&length| Axis { length, stride: 0 })
        .collect();
    let mut stride = 1;
    for axis in axes.iter_mut().rev() {
        axis.stride = stride;
        stride *= axis.length;
    }
    axes
}

impl View {
    /// A whole buffer, row-major.
    pub fn whole(buffer: usize, shape: &[usize]) -> View {
        View {
            buffer,
            start: 0,
            axes: dense(shape),
        }
    }

    /// A whole buffer whose axes lie in the same order as those of `like`, a tensor of the same number of axes.
    pub fn ordered(buffer: usize, shape: &[usize], like: &View) -> View {
        let mut order: Vec<usize> = (0..shape.len()).collect();
        order.sort_by_key(|&axis| std::cmp::Reverse(like.axes[axis].stride));
        let moved: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
        let mut view = View::whole(buffer, shape);
        for (axis, dense) in order.into_iter().zip(dense(&moved)) {
            view.axes[axis] = dense;
        }
        view
    }

    pub fn shape(&self) -> Vec<usize> {
        self.axes.iter().map(|axis| axis.length).collect()
    }

    pub fn volume(&self) -> usize {
        self.axes.iter().map(|axis| axis.length).product()
    }

    /// Whether its values lie side by side, row-major.
    pub fn is_dense(&self) -> bool {
        let dense = dense(&self.shape());
        let pairs = self.axes.iter().zip(dense);
        let mut long = pairs.filter(|(axis, _)| axis.length != 1);
        long.all(|(axis, dense)| *axis == dense)
    }

    /// With the axes in another order.
    pub fn permuted(&self, order: &[usize]) -> View {
        View {
            axes: order.iter().map(|&axis| self.axes[axis]).collect(),
            ..*self
        }
    }

    /// With the axes brought back to the order before [`View::permuted`].
    pub fn restored(&self, order: &[usize]) -> View {
        let mut axes = self.axes.clone();
        for (axis, &to) in self.axes.iter().zip(order) {
            axes[to] = *axis;
        }
        View { axes, ..*self }
    }

    pub fn moved(&self, from: usize, to: usize) -> View {
        let mut axes = self.axes.clone();
        let axis = axes.remove(from);
        axes.insert(to, axis);
        View { axes, ..*self }
    }

    pub fn with_axis(&self, at: usize) -> View {
        let mut axes = self.axes.clone();
        axes.insert(
            at,
            Axis {
                length: 1,
                stride: 0,
            },
        );
        View { axes, ..*self }
    }

    pub fn without_axis(&self, at: usize) -> View {
        let mut axes = self.axes.clone();
        axes.remove(at);
        View { axes, ..*self }
    }

    /// Every `step`th value along an axis, `length` of them from `first` on.
    pub fn cut(&self, axis: usize, first: usize, step: usize, length: usize) -> View {
        let mut view = self.clone();
        view.start += first * view.axes[axis].stride;
        view.axes[axis].stride *= step;
        view.axes[axis].length = length;
        view
    }

    /// Repeated along axes of length 1.
    pub fn filled(&self, shape: &[usize]) -> View {
        let mut view = self.clone();
        for (axis, &length) in view.axes.iter_mut().zip(shape) {
            if axis.length != length {
                *axis = Axis { length, stride: 0 };
            }
        }
        view
    }

    /// With another shape; none if its values would have to move.
    pub fn reshaped(&self, shape: &[usize]) -> Option<View> {
        let old: Vec<Axis> = self
            .axes
            .iter()
            .copied()
            .filter(|axis| axis.length != 1)
            .collect();
        let mut axes: Vec<Axis> = shape
            .iter()
            .map(|&length| Axis { length, stride: 0 })
            .collect();
        let (mut from, mut to) = (0, 0);
        while from < old.len() {
            // The fewest old axes and the fewest new ones that hold as many values.
            let (mut end, mut given) = (from + 1, old[from].length);
            let (mut last, mut made) = (to, 1);
            while made != given || last == to {
                if made < given || last == to {
                    made *= shape.get(last)?;
                    last += 1;
                } else {
                    given *= old.get(end)?.length;
                    end += 1;
                }
            }
            let pairs = old[from..end].windows(2);
            let mut even = pairs.map(|pair| pair[0].stride == pair[1].stride * pair[1].length);
            if !even.all(|even| even) {
                return None;
            }
            let mut stride = old[end - 1].stride;
            for axis in axes[to..last].iter_mut().rev() {
                axis.stride = stride;
                stride *= axis.length;
            }
            (from, to) = (end, last);
        }
        let view = View { axes, ..*self };
        (view.volume() == self.volume()).then_some(view)
    }
}

/// Axes as loops over several tensors, neighbours taken together.
pub fn collapsed<const N: usize>(axes: impl IntoIterator<Item = Loop<N>>) -> Loops<N> {
    let mut loops: Vec<Loop<N>> = Vec::new();
    for inner in axes.into_iter().filter(|one| one.length != 1) {
        let joins = |outer: &Loop<N>| {
            let mut pairs = outer.strides.iter().zip(inner.strides);
            pairs.all(|(outer, stride)| *outer == stride * inner.length)
        };
        match loops.last_mut().filter(|outer| joins(outer)) {
            Some(outer) => {
                outer.length *= inner.length;
                outer.strides = inner.strides;
            }
            None => loops.push(inner),
        }
    }
    if loops.is_empty() {
        loops.push(Loop {
            length: 1,
            strides: [1; N],
        });
    }
    Loops(loops)
}

/// Loops over an output and tensors of the same number of axes; those of length 1 are repeated.
pub fn over<const N: usize>(views: [&View; N]) -> Loops<N> {
    let output = &views[0].axes;
    let mut axes: Vec<Loop<N>> = (0..output.len())
        .map(|axis| Loop {
            length: output[axis].length,
            strides: views.map(|view| match view.axes[axis] {
                Axis { length: 1, .. } => 0,
                Axis { stride, .. } => stride,
            }),
        })
        .collect();
    axes.sort_by_key(|one| std::cmp::Reverse(one.strides[0]));
    collapsed(axes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places of all values, row-major.
    fn places(view: &View) -> Vec<usize> {
        view.axes.iter().fold(vec![view.start], |places, axis| {
            let steps = |place: usize| (0..axis.length).map(move |n| place + n * axis.stride);
            places.into_iter().flat_map(steps).collect()
        })
    }

    #[test]
    fn reshaping_keeps_the_order_of_values() {
        let whole = View::whole(0, &[4, 6, 5]);
        let views = [
            whole.clone(),
            whole.moved(2, 0),
            whole.cut(1, 1, 2, 3),
            whole.cut(2, 2, 1, 1),
            whole.with_axis(1),
            View::whole(0, &[1, 6, 1]).filled(&[4, 6, 5]),
        ];
        let shapes: [&[usize]; 8] = [
            &[120],
            &[24, 5],
            &[4, 30],
            &[2, 2, 3, 2, 5],
            &[20, 6],
            &[1, 5, 24],
            &[4, 3, 5],
            &[24],
        ];
        let mut views_made = 0;
        for view in &views {
            for shape in shapes {
                if let Some(made) = view.reshaped(shape) {
                    assert_eq!(made.shape(), shape);
                    assert_eq!(places(&made), places(view), "{view:?} {shape:?}");
                    views_made += 1;
                }
            }
        }
        assert!(views_made > 10);
        assert!(whole.moved(2, 0).reshaped(&[120]).is_none());
        assert!(whole.cut(1, 1, 2, 3).reshaped(&[4, 15]).is_none());
    }

    #[test]
    fn order_and_density() {
        let image = View::whole(0, &[7, 8, 3]).moved(2, 0);
        assert!(!image.is_dense());
        let alike = View::ordered(1, &[3, 7, 8], &image);
        assert_eq!(alike.axes, image.axes);
        assert!(alike.moved(0, 2).is_dense());
        assert_eq!(
            over([&alike, &image]).0,
            [Loop {
                length: 168,
                strides: [1, 1]
            }]
        );
        let bias = View::whole(2, &[3, 1, 1]);
        let one = |length, strides| Loop { length, strides };
        assert_eq!(over([&alike, &bias]).0, [one(56, [3, 0]), one(3, [1, 1])]);
        let order = [2, 0, 1];
        assert_eq!(image.permuted(&order).restored(&order), image);
    }
}
