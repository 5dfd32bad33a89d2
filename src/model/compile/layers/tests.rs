//! Graphs made by hand, and the layers found in them.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Gather, Slice, TypedConcat};
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, MaxPool, PaddingSpec, PoolSpec};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math::{add, max, mul, sub};
use tract_onnx::tract_core::ops::nn::{DataFormat, Reduce, Reducer, Softmax};

use super::candidates;
use crate::manifest::Layout;
use crate::model::Candidates;

/// A graph under construction. Tensors have the names of their nodes.
struct Net(TypedModel);

impl Net {
    /// A photo of 16×16 in three colours, NCHW.
    fn new() -> (Net, OutletId) {
        let mut graph = TypedModel::default();
        let photo = graph
            .add_source("photo", f32::fact([1, 3, 16, 16]))
            .unwrap();
        (Net(graph), photo)
    }

    fn wire(
        &mut self,
        name: &str,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[OutletId],
    ) -> OutletId {
        let outlet = self.0.wire_node(name, op, inputs).unwrap()[0];
        self.0.set_outlet_label(outlet, name.into()).unwrap();
        outlet
    }

    fn constant(&mut self, name: &str, tensor: Tensor) -> OutletId {
        self.0
            .add_const(format!("{name}.constant"), tensor)
            .unwrap()
    }

    fn weights(&mut self, name: &str, shape: &[usize]) -> OutletId {
        self.constant(name, Tensor::zero::<f32>(shape).unwrap())
    }

    fn length(&self, outlet: OutletId, axis: usize) -> usize {
        self.0.outlet_fact(outlet).unwrap().shape[axis]
            .to_usize()
            .unwrap()
    }

    fn pool(&self, from: OutletId, channels: usize, side: usize, stride: usize) -> PoolSpec {
        let padding = match stride {
            1 => PaddingSpec::SameUpper,
            _ => PaddingSpec::Valid,
        };
        PoolSpec {
            data_format: DataFormat::NCHW,
            kernel_shape: tvec!(side, side),
            padding,
            dilations: None,
            strides: Some(tvec!(stride, stride)),
            input_channels: self.length(from, 1),
            output_channels: channels,
        }
    }

    /// A convolution of an NCHW map.
    fn conv(
        &mut self,
        name: &str,
        from: OutletId,
        channels: usize,
        side: usize,
        stride: usize,
    ) -> OutletId {
        let kernel = self.weights(name, &[channels, self.length(from, 1), side, side]);
        let bias = self.weights(&format!("{name}.bias"), &[channels]);
        let conv = Conv {
            pool_spec: self.pool(from, channels, side, stride),
            kernel_fmt: KernelFormat::OIHW,
            group: 1,
            q_params: None,
        };
        self.wire(name, conv, &[from, kernel, bias])
    }

    /// A linear map of the last axis.
    fn linear(&mut self, name: &str, from: OutletId, channels: usize) -> OutletId {
        let rank = self.0.outlet_fact(from).unwrap().rank();
        let weights = self.weights(name, &[self.length(from, rank - 1), channels]);
        let others = &"abdefg"[..rank - 1];
        self.product(name, &format!("{others}c,co->{others}o"), from, weights)
    }

    fn product(&mut self, name: &str, axes: &str, a: OutletId, b: OutletId) -> OutletId {
        let product = EinSum::new(axes.parse().unwrap(), f32::datum_type());
        self.wire(name, product, &[a, b])
    }

    fn relu(&mut self, name: &str, from: OutletId) -> OutletId {
        let rank = self.0.outlet_fact(from).unwrap().rank();
        let zero = self.weights(name, &vec![1; rank]);
        self.wire(name, max(), &[from, zero])
    }

    fn mean(&mut self, name: &str, from: OutletId, axes: &[usize]) -> OutletId {
        self.wire(name, Reduce::new(axes.into(), Reducer::Sum), &[from])
    }

    fn reshape(
        &mut self,
        name: &str,
        from: OutletId,
        at: usize,
        old: &[usize],
        new: &[usize],
    ) -> OutletId {
        let dims = |lengths: &[usize]| lengths.iter().map(|n| n.to_dim()).collect();
        self.wire(name, AxisOp::Reshape(at, dims(old), dims(new)), &[from])
    }

    fn turn(&mut self, name: &str, from: OutletId, axis: usize, to: usize) -> OutletId {
        self.wire(name, AxisOp::Move(axis, to), &[from])
    }

    fn slice(
        &mut self,
        name: &str,
        from: OutletId,
        axis: usize,
        start: usize,
        end: usize,
    ) -> OutletId {
        self.wire(name, Slice::new(axis, start, end), &[from])
    }

    /// An NCHW map as tokens.
    fn tokens(&mut self, name: &str, from: OutletId) -> OutletId {
        let (height, width) = (self.length(from, 2), self.length(from, 3));
        let flat = self.reshape(
            &format!("{name}.flat"),
            from,
            2,
            &[height, width],
            &[height * width],
        );
        self.turn(name, flat, 1, 2)
    }

    /// Self-attention of tokens with one product for queries, keys and values.
    fn attention(&mut self, name: &str, from: OutletId) -> OutletId {
        let channels = self.length(from, 2);
        let all = self.linear(&format!("{name}.qkv"), from, 3 * channels);
        let [q, k, v] = [0, 1, 2].map(|i| {
            self.slice(
                &format!("{name}.{i}"),
                all,
                2,
                i * channels,
                (i + 1) * channels,
            )
        });
        let scores = self.product(&format!("{name}.scores"), "bqc,bkc->bqk", q, k);
        let weights = Softmax {
            axes: tvec!(2),
            ..Softmax::default()
        };
        let weights = self.wire(&format!("{name}.weights"), weights, &[scores]);
        let mixed = self.product(&format!("{name}.mixed"), "bqk,bkc->bqc", weights, v);
        self.linear(&format!("{name}.out"), mixed, channels)
    }

    /// `from` minus its mean over the channels of tokens.
    fn norm(&mut self, name: &str, from: OutletId) -> OutletId {
        let mean = self.mean(&format!("{name}.mean"), from, &[2]);
        self.wire(name, sub(), &[from, mean])
    }

    /// The layers that are found if `scores` is the output.
    fn layers(mut self, scores: OutletId) -> Candidates {
        self.0.outputs = vec![scores];
        candidates(&self.0, Layout::Nchw)
    }
}

/// Checks the name, the size and the number of later products of each layer.
#[track_caller]
fn check(found: &Candidates, expected: &[(&str, [usize; 3], usize)]) {
    let list: Vec<_> = found
        .list
        .iter()
        .map(|candidate| {
            let layer = &candidate.layer;
            (
                layer.name.as_str(),
                [layer.channels, layer.height, layer.width],
                candidate.products,
            )
        })
        .collect();
    assert_eq!(list, expected);
}

#[test]
fn a_branch_is_no_layer_and_a_sum_is() {
    let (mut net, photo) = Net::new();
    let factor = net.weights("scaled", &[1, 1, 1, 1]);
    let scaled = net.wire("scaled", mul(), &[photo, factor]);
    let stem = net.conv("stem", scaled, 8, 3, 1);
    let wide = net.conv("wide", stem, 32, 1, 1);
    let narrow = net.conv("narrow", wide, 8, 3, 1);
    let sum = net.wire("sum", add(), &[stem, narrow]);
    let pool = net.pool(sum, 8, 2, 2);
    let pooled = net.wire("pooled", MaxPool::new(pool, None), &[sum]);
    let deep = net.conv("deep", pooled, 16, 3, 1);
    let deep = net.relu("relu", deep);
    let mean = net.mean("mean", deep, &[2, 3]);
    let scores = net.conv("scores", mean, 5, 1, 1);
    let found = net.layers(scores);
    assert!(found.whole);
    check(&found, &[("relu", [16, 8, 8], 1), ("sum", [8, 16, 16], 2)]);
}

#[test]
fn a_map_of_the_classes_is_a_result() {
    let (mut net, photo) = Net::new();
    let map = net.conv("map", photo, 8, 4, 4);
    let map = net.relu("relu", map);
    let classes = net.conv("classes", map, 8, 1, 1);
    let scores = net.mean("scores", classes, &[2, 3]);
    check(&net.layers(scores), &[("relu", [8, 4, 4], 1)]);

    let (mut net, photo) = Net::new();
    let classes = net.conv("classes", photo, 8, 4, 4);
    let scores = net.mean("scores", classes, &[2, 3]);
    check(&net.layers(scores), &[("classes", [8, 4, 4], 0)]);
}

#[test]
fn as_many_channels_as_classes_are_still_a_layer() {
    let (mut net, photo) = Net::new();
    let map = net.conv("map", photo, 8, 4, 4);
    let mean = net.mean("mean", map, &[2, 3]);
    let scores = net.conv("scores", mean, 8, 1, 1);
    check(&net.layers(scores), &[("map", [8, 4, 4], 1)]);
}

#[test]
fn a_photo_is_no_layer() {
    let (mut net, photo) = Net::new();
    let flat = net.reshape("flat", photo, 1, &[3, 16, 16], &[768]);
    let scores = net.linear("scores", flat, 5);
    check(&net.layers(scores), &[]);
}

#[test]
fn a_grid_is_followed_through_windows_and_rolls() {
    let (mut net, photo) = Net::new();
    let map = net.conv("map", photo, 4, 2, 2);
    let tokens = net.tokens("tokens", map);
    let grid = net.reshape("grid", tokens, 1, &[64], &[8, 8]);
    let [top, bottom] =
        [(0, 2), (2, 8)].map(|(a, b)| net.slice(&format!("rows{a}"), grid, 1, a, b));
    let rolled = net.wire("rolled", TypedConcat { axis: 1 }, &[bottom, top]);
    let cut = net.reshape("cut", rolled, 1, &[8, 8], &[2, 4, 2, 4]);
    let windows = net.turn("windows", cut, 2, 3);
    let windows = net.reshape("batch", windows, 0, &[1, 2, 2, 4, 4], &[4, 16]);
    let mixed = net.attention("mixed", windows);
    let uncut = net.reshape("uncut", mixed, 0, &[4, 16], &[1, 2, 2, 4, 4]);
    let uncut = net.turn("unturned", uncut, 3, 2);
    let back = net.reshape("back", uncut, 1, &[2, 4, 2, 4], &[8, 8]);
    let [top, bottom] =
        [(0, 6), (6, 8)].map(|(a, b)| net.slice(&format!("back{a}"), back, 1, a, b));
    let unrolled = net.wire("unrolled", TypedConcat { axis: 1 }, &[bottom, top]);
    let unrolled = net.reshape("flat", unrolled, 1, &[8, 8], &[64]);
    let sum = net.wire("sum", add(), &[tokens, unrolled]);
    let mean = net.mean("mean", sum, &[1]);
    let scores = net.linear("scores", mean, 5);
    check(&net.layers(scores), &[("sum", [4, 8, 8], 1)]);
}

#[test]
fn merged_patches_are_a_grid_of_half_the_side() {
    let (mut net, photo) = Net::new();
    let map = net.conv("map", photo, 4, 2, 2);
    let last = net.reshape("cut", map, 2, &[8, 8], &[4, 2, 4, 2]);
    let last = net.turn("inside", last, 3, 5);
    let last = net.turn("channels last", last, 1, 5);
    let last = net.reshape("merged", last, 3, &[2, 2, 4], &[16]);
    let less = net.linear("less", last, 8);
    let mean = net.mean("mean", less, &[1, 2]);
    let scores = net.linear("scores", mean, 5);
    check(
        &net.layers(scores),
        &[("less", [8, 4, 4], 1), ("map", [4, 8, 8], 2)],
    );
}

#[test]
fn tokens_in_another_order_are_no_layer() {
    let (mut net, photo) = Net::new();
    let map = net.conv("map", photo, 4, 2, 2);
    let cut = net.reshape("cut", map, 2, &[8, 8], &[4, 2, 4, 2]);
    // Places that are pooled later lie furthest apart.
    let cut = net.turn("inside", cut, 3, 2);
    let cut = net.turn("inside too", cut, 5, 3);
    let flat = net.reshape("flat", cut, 2, &[2, 2, 4, 4], &[64]);
    let tokens = net.turn("tokens", flat, 1, 2);
    let mixed = net.linear("mixed", tokens, 8);
    let apart = net.reshape("apart", mixed, 1, &[64], &[4, 16]);
    let pooled = net.wire("pooled", Reduce::new(tvec!(1), Reducer::Max), &[apart]);
    let pooled = net.wire("in order", AxisOp::Rm(1), &[pooled]);
    let last = net.linear("last", pooled, 8);
    let mean = net.mean("mean", last, &[1]);
    let scores = net.linear("scores", mean, 5);
    check(
        &net.layers(scores),
        &[("last", [8, 4, 4], 1), ("map", [4, 8, 8], 3)],
    );
}

#[test]
fn a_class_token_hears_the_others_only_through_attention() {
    let (mut net, photo) = Net::new();
    let map = net.conv("map", photo, 4, 4, 4);
    let tokens = net.tokens("patches", map);
    let class = net.weights("class", &[1, 1, 4]);
    let mut tokens = net.wire("tokens", TypedConcat { axis: 1 }, &[class, tokens]);
    for block in ["first", "last"] {
        let norm = net.norm(&format!("{block} norm"), tokens);
        let mixed = net.attention(&format!("{block} attention"), norm);
        let sum = net.wire(&format!("{block} sum"), add(), &[tokens, mixed]);
        let norm = net.norm(&format!("{block} second norm"), sum);
        let mlp = net.linear(&format!("{block} mlp"), norm, 4);
        tokens = net.wire(&format!("{block} second sum"), add(), &[sum, mlp]);
    }
    let index = net.constant("first", tensor0(0i64));
    let picked = net.wire("picked", Gather::new(1), &[tokens, index]);
    let scores = net.linear("scores", picked, 5);
    // Keys and values, scores, mixing, projection, MLP, head.
    let found = net.layers(scores);
    assert!(found.whole);
    check(&found, &[("last norm", [4, 4, 4], 6)]);
}

#[test]
fn windows_taken_by_a_table_are_a_grid() {
    let (mut net, photo) = Net::new();
    let map = net.conv("map", photo, 4, 1, 1);
    let table: Vec<i64> = (0..16).map(|i| i / 4 + i % 4 * 4).collect();
    let table = Tensor::from_shape(&[4, 4], &table).unwrap();
    let [first, second] = ["rows", "columns"].map(|name| net.constant(name, table.clone()));
    let rows = net.wire("rows", Gather::new(2), &[map, first]);
    let windows = net.wire("windows", Gather::new(4), &[rows, second]);
    let windows = net.turn("inside", windows, 3, 4);
    let patches = net.reshape("patches", windows, 1, &[4, 4, 4, 4, 4], &[64, 16]);
    let patches = net.turn("tokens", patches, 1, 2);
    let less = net.linear("less", patches, 8);
    let mean = net.mean("mean", less, &[1]);
    let scores = net.linear("scores", mean, 5);
    check(
        &net.layers(scores),
        &[("less", [8, 4, 4], 1), ("map", [4, 16, 16], 2)],
    );
}

#[test]
fn a_grid_that_was_lost_is_found_by_the_next_kernel() {
    let (mut net, photo) = Net::new();
    let map = net.conv("map", photo, 4, 2, 2);
    let table = Tensor::from_shape(&[2, 4], &[7i64, 0, 3, 1, 6, 2, 5, 4]).unwrap();
    let table = net.constant("shuffled", table);
    let shuffled = net.wire("shuffled", Gather::new(2), &[map, table]);
    let again = net.reshape("again", shuffled, 2, &[2, 4], &[8]);
    let plain = net.conv("plain", again, 4, 1, 1);
    let kernel = net.conv("kernel", plain, 4, 2, 2);
    let mean = net.mean("mean", kernel, &[2, 3]);
    let scores = net.conv("scores", mean, 5, 1, 1);
    check(
        &net.layers(scores),
        &[("kernel", [4, 4, 4], 1), ("map", [4, 8, 8], 3)],
    );
}

#[test]
fn where_ways_never_join_those_with_most_products_are_told_to_see_less() {
    let (mut net, photo) = Net::new();
    let near = net.conv("near", photo, 4, 2, 2);
    let far = net.conv("far", photo, 4, 4, 4);
    let near = net.conv("nearer", near, 4, 3, 1);
    let near = net.conv("nearest", near, 4, 3, 1);
    let [near, far] = [near, far].map(|map| net.mean(&format!("mean {}", map.node), map, &[2, 3]));
    let both = net.wire("both", add(), &[near, far]);
    let scores = net.conv("scores", both, 5, 1, 1);
    let found = net.layers(scores);
    assert!(!found.whole);
    check(&found, &[("nearest", [4, 8, 8], 1)]);
}
