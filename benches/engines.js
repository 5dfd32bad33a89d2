// engine name → { start(), load(files), run() }: the same network on the same tensor in FP32 arithmetic.
//
// Each engine is in a frame of its own, so that its WebAssembly memory and its globals are its own too.

/**
 * Addresses of one network.
 * @typedef {{ packed: string, onnx: string, tflite?: string, tfjs?: string }} Files
 *
 * @typedef {object} Engine
 * @property {() => Promise<void>} start fetches and compiles the engine itself
 * @property {(files: Files) => Promise<number>} load ms from bytes in memory to the end of the first run
 * @property {() => Promise<{ scores: Float32Array, milliseconds: number }>} run
 * @property {() => Promise<number>} [explain] ms of a run with its heatmap
 * @property {() => Promise<number>} [prepare] ms from bytes in memory until the model can run
 * @property {(files: Files) => Promise<void>} [first] loads and runs, if that is not `load` and `run`
 * @property {() => Promise<void>} [settle] waits until it runs as it will
 * @property {() => number | Promise<number>} memory bytes of its WebAssembly memory
 */

export const SIDE = 224;
/** ms until the helpers have started and the kernels are chosen for good; see www/worker/worker.js. */
const SETTLED = 2000;

/** A photo of noise and blobs; the tensor that it becomes at mean = std = 0.5. */
export function photo() {
  const rgba = new Uint8ClampedArray(SIDE * SIDE * 4);
  let state = 1;
  for (let i = 0; i < rgba.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    rgba[i] = i % 4 === 3 ? 255 : 128 + 90 * Math.sin(i / 900) + (state >>> 27);
  }
  const nchw = new Float32Array(3 * SIDE * SIDE);
  const nhwc = new Float32Array(3 * SIDE * SIDE);
  for (let pixel = 0; pixel < SIDE * SIDE; pixel++) {
    for (let c = 0; c < 3; c++) {
      const value = (rgba[pixel * 4 + c] / 255 - 0.5) / 0.5;
      nchw[c * SIDE * SIDE + pixel] = value;
      nhwc[pixel * 3 + c] = value;
    }
  }
  return { rgba, nchw, nhwc };
}

const bytes = async (/** @type {string} */ url) => new Uint8Array(await (await fetch(url)).arrayBuffer());

/** WebAssembly memories of this frame. @type {Set<WebAssembly.Memory>} */
const memories = new Set();
const memory = () => [...memories].reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
{
  const { Memory, instantiate, instantiateStreaming } = WebAssembly;
  const exported = (result) => {
    for (const value of Object.values((result.instance ?? result).exports))
      if (value instanceof Memory) memories.add(value);
    return result;
  };
  WebAssembly.instantiate = async (...args) => exported(await instantiate(...args));
  WebAssembly.instantiateStreaming = async (...args) => exported(await instantiateStreaming(...args));
  WebAssembly.Memory = new Proxy(Memory, {
    construct(target, args) {
      const made = new target(...args);
      memories.add(made);
      return made;
    },
  });
}

/** As a page uses it: through the library, in its worker. @returns {Engine} */
function whylens(build, threads) {
  const { rgba } = photo();
  const image = new ImageData(rgba, SIDE, SIDE);
  let load, classifier;
  let settled = false;
  return {
    async start() {
      ({ load } = await import('/www/whylens.js'));
    },
    async load({ packed }) {
      // Disposed of afterwards: the worker ends with its last model.
      const before = classifier;
      classifier = await load(packed, { build, threads, preload: 'eager', cache: false });
      await before?.dispose();
      const { timing } = await classifier.health();
      const { timing: first } = await classifier.classify(image, { heatmap: false });
      return timing.prepare + first.inference;
    },
    async first({ packed }) {
      const waiting = await load(packed, { build, threads, preload: 'lazy' });
      await waiting.classify(image, { heatmap: false });
    },
    async settle() {
      if (!settled) await new Promise((resolve) => setTimeout(resolve, SETTLED));
      settled = true;
      const { threads: running, module } = await classifier.health({ verbose: true });
      if (module === 'compile') throw new Error('it has no plan');
      if (running !== threads) throw new Error(`whylens has ${running} threads`);
    },
    async run() {
      const { scores, timing } = await classifier.classify(image, { heatmap: false, scores: true });
      return { scores, milliseconds: timing.inference };
    },
    async explain() {
      const { timing } = await classifier.classify(image, { heatmap: true });
      return timing.inference + timing.heatmap;
    },
    prepare: async () => (await classifier.health()).timing.prepare,
    memory: async () => (await classifier.health()).memory.wasm,
  };
}

/** @returns {Engine} */
function onnxruntime(threads) {
  const { nchw } = photo();
  let ort, session;
  return {
    async start() {
      ort = await import('/modules/onnxruntime-web/dist/ort.wasm.min.mjs');
      ort.env.wasm.numThreads = threads;
      ort.env.wasm.wasmPaths = '/modules/onnxruntime-web/dist/';
    },
    async load({ onnx }) {
      const model = await bytes(onnx);
      const start = performance.now();
      await session?.release();
      session = await ort.InferenceSession.create(model, {
        executionProviders: ['wasm'],
        graphOptimizationLevel: 'all',
      });
      await this.run();
      return performance.now() - start;
    },
    async run() {
      const start = performance.now();
      const tensor = new ort.Tensor('float32', nchw, [1, 3, SIDE, SIDE]);
      const results = await session.run({ [session.inputNames[0]]: tensor });
      return { scores: results[session.outputNames[0]].data, milliseconds: performance.now() - start };
    },
    memory,
  };
}

/** @returns {Engine} */
function litert(threads) {
  const { nhwc } = photo();
  let lib, model;
  return {
    async start() {
      lib = await import('/modules/@litertjs/core/dist/index.js');
      await lib.loadLiteRt('/modules/@litertjs/core/wasm/', { threads: threads > 1 });
    },
    async load({ tflite }) {
      const data = await bytes(tflite);
      const start = performance.now();
      model?.delete();
      model = await lib.loadAndCompile(data, { accelerator: 'wasm', cpuOptions: { numThreads: threads } });
      await this.run();
      return performance.now() - start;
    },
    async run() {
      const start = performance.now();
      const tensor = new lib.Tensor(nhwc, [1, SIDE, SIDE, 3]);
      const [result] = await model.run(tensor);
      const scores = result.toTypedArray().slice();
      tensor.delete();
      result.delete();
      return { scores, milliseconds: performance.now() - start };
    },
    memory,
  };
}

/** Loads a classic script. */
const script = (/** @type {string} */ src) =>
  new Promise((resolve, reject) => {
    document.head.append(Object.assign(document.createElement('script'), { src, onload: resolve, onerror: reject }));
  });

/** tfjs with its fused operators, as its converter would call them. @returns {Engine} */
function tfjs() {
  const { nhwc } = photo();
  const dist = '/modules/@tensorflow/tfjs-backend-wasm/dist/';
  let tf, steps;
  const run = (step, inputs) => {
    const [x, y] = inputs;
    const { strides, pad, weight, bias, activation } = step;
    switch (step.op) {
      case 'Conv':
        return tf.fused.conv2d({ x, filter: weight, strides, pad, bias, activation: activation ?? 'linear' });
      case 'Depthwise':
        return tf.fused.depthwiseConv2d({ x, filter: weight, strides, pad, bias, activation: activation ?? 'linear' });
      case 'Gemm':
        return tf.fused.matMul({ a: x, b: weight, bias });
      case 'MaxPool':
        return tf.maxPool(tf.pad(x, pad, -3e38), step.kernel, strides, 'valid');
      case 'Add':
        return tf.add(x, y);
      case 'Relu':
        return tf.relu(x);
      case 'GlobalAveragePool':
        return tf.mean(x, [1, 2]);
      case 'Flatten':
      case 'Reshape':
        return x;
      default:
        throw new Error(step.op);
    }
  };
  return {
    async start() {
      await script('/modules/@tensorflow/tfjs-core/dist/tf-core.min.js');
      await script(`${dist}tf-backend-wasm.min.js`);
      ({ tf } = globalThis);
      tf.wasm.setWasmPaths(dist);
      // Its build with threads uses one as well: `getThreadsCount()` is 1 whatever is asked for.
      tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
      await tf.setBackend('wasm');
      await tf.ready();
    },
    async load({ tfjs }) {
      const listing = await (await fetch(tfjs)).json();
      const { buffer } = await bytes(tfjs.replace('.json', '.bin'));
      const start = performance.now();
      for (const { weight, bias } of steps ?? []) tf.dispose([weight, bias].filter(Boolean));
      const tensor = (part) =>
        part &&
        tf.tensor(
          new Float32Array(
            buffer,
            part.at,
            part.shape.reduce((a, b) => a * b, 1),
          ),
          part.shape,
        );
      steps = listing.map((step) => ({ ...step, weight: tensor(step.weight), bias: tensor(step.bias) }));
      await this.run();
      return performance.now() - start;
    },
    async run() {
      const start = performance.now();
      const result = tf.tidy(() => {
        const values = [tf.tensor4d(nhwc, [1, SIDE, SIDE, 3])];
        for (const step of steps)
          values.push(
            run(
              step,
              step.inputs.map((at) => values[at]),
            ),
          );
        return values.at(-1);
      });
      const scores = result.dataSync().slice();
      result.dispose();
      return { scores, milliseconds: performance.now() - start };
    },
    memory,
  };
}

/** @type {Record<string, () => Engine>} */
export const ENGINES = {
  'whylens simd128': () => whylens('simd128', 1),
  whylens: () => whylens('relaxed-simd', 1),
  'whylens ×2': () => whylens('relaxed-simd', 2),
  'onnxruntime-web': () => onnxruntime(1),
  'onnxruntime-web ×2': () => onnxruntime(2),
  'LiteRT.js': () => litert(1),
  'LiteRT.js ×2': () => litert(2),
  tfjs,
};
