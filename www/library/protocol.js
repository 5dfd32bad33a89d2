// types of all that passes between the page, the library and the worker; no code

/**
 * @typedef {'network' | 'http-status' | 'not-a-model' | 'truncated' | 'integrity' | 'external-data'
 *   | 'unsupported-operator' | 'unsupported-model' | 'bad-manifest' | 'over-memory-limit'
 *   | 'out-of-memory' | 'image-format' | 'image-corrupt' | 'image-too-large' | 'bad-option'
 *   | 'cancelled' | 'disposed' | 'worker-crashed' | 'forbidden' | 'unsupported-browser' | 'insecure-address'} ErrorCode
 */

/** @typedef {Blob | ArrayBuffer | Uint8Array<ArrayBufferLike> | ImageBitmap | ImageData | HTMLImageElement
 *   | HTMLCanvasElement | HTMLVideoElement | OffscreenCanvas | VideoFrame} Photo */

/** @typedef {{ width: number, height: number }} Size in pixels */
/** @typedef {{ x: number, y: number, width: number, height: number }} Region in pixels of the upright photo */
/** @typedef {{ phase: 'download' | 'prepare' | 'heatmap' | 'check' | 'stability' | 'pack', loaded: number, total:
 *   number }} Progress bytes while downloading, 0 or 1 of 1 while preparing, steps of a slow heatmap, of a check, of a test
 *   of stability or of packing */

/**
 * What `load()` takes.
 * @typedef {object} LoadOptions
 * @property {'auto' | 'eager' | 'lazy'} [preload] whether the model is loaded now or on first use
 * @property {boolean} [heatmap] false: no heatmaps, less memory
 * @property {number} [memoryLimit] bytes of WebAssembly memory; a model that needs more is refused. By default 512 MB on
 *   phones, elsewhere a quarter of the device's memory from 512 MB to 2 GB, or 1 GB where the browser does not tell it
 * @property {import('./policy.js').Build} [build] of the module, the best that runs here when absent; a page has one
 *   worker, so the first load's choice holds
 * @property {import('./policy.js').Threads} [threads] 1 to 64, where the page is cross-origin isolated; as many as there
 *   are cores, at most 8, when absent; a page has one worker, so the first load's choice holds
 * @property {string | readonly string[]} [language] of the labels, the browser's when absent
 * @property {number} [maxPixels] of a photo, 64 million when absent
 * @property {number} [maxBytes] of a photo's file, 256 million when absent
 * @property {boolean} [persist] whether to ask the browser, once the model is kept, not to remove it by itself when
 *   space is short; no when absent, since Firefox asks the reader. `health()` tells the answer
 * @property {number} [keepBytes] of the last photos, as the network saw them, that are kept for `heatmap()`: 16 million
 *   when absent, the newest photo in any case; 0: none
 * @property {(progress: Progress) => void} [onProgress]
 * @property {AbortSignal} [signal]
 * @property {boolean} [cache] false: nothing is kept in the browser's cache
 * @property {number} [retries] requests for a file, after the first, that bring no more of it than there was before; 3
 *   when absent
 * @property {number} [retryDelay] ms before the first retry, doubled with each in vain; 500 when absent
 * @property {number} [stallTimeout] ms without a byte after which a connection counts as broken; 20,000 when absent
 */

/**
 * Which heatmap is wanted; by default the most probable class, the first of the model's `methods` that works, and
 * the model's layer.
 * @typedef {object} HeatmapOptions
 * @property {number} [classIndex]
 * @property {string} [label]
 * @property {'for' | 'against' | 'both'} [sign] what raises the score of the class, when absent, what lowers it, or both
 *   in one map
 * @property {{ classIndex?: number, label?: string } | 'alike'} [contrast] explains why it is this class and not that
 *   one: the difference of their scores; `alike`: those whose scores are nearest to its own (Finer-CAM)
 * @property {string} [method]
 * @property {string | readonly string[]} [layer] name of an ONNX tensor; the maps of several are averaged
 * @property {number} [grid] rows and columns, 2 to 32: of the map of `occlusion`, of a mask of `rise` before it is
 *   enlarged; 7 when absent
 * @property {number} [masks] of `rise`, at most 10,000; 500 when absent
 * @property {number} [steps] points of `integratedgradients`, at most 1000; 20 when absent
 * @property {number} [seed] of the masks of `rise`, 1 when absent: the same number gives the same ones
 * @property {'blur' | 'mean'} [fill] baseline of `integratedgradients`: the photo blurred, when absent, or its mean colour
 * @property {boolean} [smooth] the mean of the maps of mirrored and shifted inputs, for methods that take one run
 * @property {(progress: Progress) => void} [onProgress] is told of a heatmap that takes many runs of the network (see
 *   `costs` of the model), phase `heatmap`: first 0 of how many, then each
 * @property {AbortSignal} [signal] stops such a heatmap between two runs
 */

/**
 * What `classify()` takes.
 * @typedef {object} ClassifyOptions
 * @property {number} [topK] most predictions returned, 5 when absent
 * @property {number} [threshold] least probability returned, 0 when absent; scores that are no probabilities have none
 * @property {Region} [region] the part of the photo to classify, all of it when absent; its edges are rounded to whole
 *   pixels. A part that reaches over the edge of the photo is a `bad-option`
 * @property {boolean | HeatmapOptions} [heatmap] true when absent, unless the model is loaded without; a heatmap
 *   that cannot be made is an error only if its class, method or layer is named
 * @property {boolean} [scores] adds the scores and probabilities of all classes
 * @property {number} [view] adds a picture of what was classified, at most this many pixels a side: browsers may
 *   turn the file differently, change its colours or animate it
 * @property {boolean} [transfer] an `ArrayBuffer` or `Uint8Array` is taken from the caller, not copied
 * @property {number} [maxPixels] of the photo, that of `load()` when absent
 * @property {number} [maxBytes] of the photo's file, that of `load()` when absent
 * @property {boolean} [partial] classifies what is there of a photo that is cut short; else it is `image-corrupt`, and
 *   the error's `percent` tells how much is there
 * @property {(progress: Progress) => void} [onProgress] is told of a slow heatmap
 * @property {AbortSignal} [signal]
 */

/**
 * Which features `features()` gives.
 * @typedef {object} FeaturesOptions
 * @property {string} [layer] name of an ONNX tensor, the model's layer when absent
 * @property {boolean} [pooled] true when absent: each channel averaged over the map; false: the map
 * @property {Region} [region] as of `classify()`, like those that follow
 * @property {boolean} [transfer]
 * @property {number} [maxPixels]
 * @property {number} [maxBytes]
 * @property {boolean} [partial]
 * @property {AbortSignal} [signal]
 */

/**
 * Activations of a layer.
 * @typedef {object} Features
 * @property {Float32Array<ArrayBuffer>} values row-major
 * @property {number[]} shape channels; channels, rows and columns of a map
 * @property {string} layer its name
 */

/**
 * @typedef {object} RenderOptions
 * @property {number} [width] of the picture drawn, the photo's when absent
 * @property {number} [height]
 * @property {string} [colormap] `inferno` when absent; of a map of both signs `diverging`, and no other
 * @property {number} [opacity] of the strongest evidence, 0..1, 0.6 when absent
 * @property {AbortSignal} [signal]
 */

/**
 * @typedef {object} Prediction
 * @property {number} index in the model's output
 * @property {string} label
 * @property {number} probability 0..1; the score where the model's `activation` is `none`
 * @property {number} score before softmax or sigmoid
 */

/**
 * Form and place of what a heatmap shows of one sign. A spot is a group of cells of at least half of the largest value
 * that touch each other by a side or a corner.
 * @typedef {object} Evidence
 * @property {number} x the centre of mass from the left edge of the heatmap's `region`, 0..1
 * @property {number} y from its upper edge, 0..1
 * @property {number} share the smallest part of the cells that holds half of the mass, 0..1
 * @property {number} spots how many there are
 * @property {('top' | 'right' | 'bottom' | 'left')[]} border sides of the region that a spot touches
 */

/**
 * @typedef {object} Heatmap
 * @property {number} classIndex
 * @property {string} label
 * @property {{ classIndex: number, label: string }[]} [contrast] the classes that it was compared with
 * @property {'for' | 'against' | 'both'} sign whether it shows what raises the score of the class, what lowers it, or both
 * @property {string} method
 * @property {string} layer where it was made: the names of `layers`, with ` + ` between them, or that of the input
 * @property {string[]} layers ONNX tensors that it was made at; empty: at the input
 * @property {number} width columns
 * @property {number} height rows
 * @property {Float32Array} values row-major; negative only where `sign` is `both`: that speaks against the class
 * @property {number} max the largest absolute value; 0: there is no evidence
 * @property {Evidence | null} evidence where what the map is of lies; of both signs, what raises the score; null: nothing
 *   does
 * @property {Evidence | null} opposing of both signs, where what lowers the score lies; null: nothing does, or the map has
 *   one sign
 * @property {Region} region of the photo that the map covers
 * @property {Region} [part] of the photo that was classified, where one was asked for; a padded region reaches over it
 * @property {Size} image the upright photo
 */

/**
 * How a heatmap is checked; see docs/explaining.md.
 * @typedef {object} CheckOptions
 * @property {number} [steps] parts into which the map's cells are divided, 20 when absent, 1000 at most
 * @property {number} [orders] random orders that it is compared with, 5 when absent, 2 to 1000
 * @property {'blur' | 'mean' | 'linear'} [fill] what hidden cells show: the photo blurred, when absent, its mean colour, or
 *   means of what is next to them (ROAD)
 * @property {number} [seed] of the random orders, 1 when absent: the same number gives the same ones
 * @property {(progress: Progress) => void} [onProgress] phase `check`: runs of the network
 * @property {AbortSignal} [signal] stops between two runs
 */

/**
 * What a check has found. Curves hold the probability of the explained class (its score, where the model's `activation`
 * is `none`) at each of `shares`.
 * @typedef {object} Checked
 * @property {Float32Array} shares of the map's cells that are hidden or shown, from 0 to 1
 * @property {Float32Array} deletion the cells that the map marks most are hidden first
 * @property {Float32Array} insertion they are shown first, and everything else is hidden
 * @property {Float32Array[]} random cells are hidden in a random order
 * @property {number} deletionArea under the curve: low if the map is right
 * @property {number} insertionArea under the curve: high if the map is right
 * @property {Float32Array} randomAreas
 * @property {number} advantage `insertionArea - deletionArea`
 * @property {number} chance the probability that a random order is called better or worse: at most this
 * @property {'better' | 'chance' | 'worse'} verdict whether the map is better than each random order by both curves:
 *   `deletionArea` below and `insertionArea` above all of `randomAreas`; worse: above and below; chance: neither
 */

/**
 * @typedef {object} StabilityOptions
 * @property {(progress: Progress) => void} [onProgress] phase `stability`: changed photos
 * @property {AbortSignal} [signal] stops between two of them
 */

/**
 * How a heatmap stands a small change of the photo.
 * @typedef {({ kind: 'shift', x: number, y: number } | { kind: 'jpeg', quality: number }) & { correlation: number,
 *   probability: number }} Variant `x` and `y`: pixels of the model's input, to the right and down; `correlation`: of the
 *   two maps, -1..1, the shift undone; `probability` of the explained class, its score where the model's `activation` is
 *   `none`
 */

/**
 * @typedef {object} Stability
 * @property {number} correlation the lowest of all variants
 * @property {Variant[]} variants
 * @property {'stable' | 'fragile'} verdict stable: from a correlation of √½ on, with which every variant has at least
 *   half of the map's variance
 */

/** @typedef {'softmax' | 'sigmoid' | 'none'} Activation what the probabilities are: of one class among many, of each
 *   class on its own, or scores that are no probabilities */

/**
 * @typedef {object} Result
 * @property {string} id for `heatmap()`
 * @property {Size} image the upright photo
 * @property {Region} [region] the part of it that was classified, in whole pixels, where one was asked for
 * @property {'browser'} [decoder] the browser, not this library, decoded the file: another one may give other pixels
 * @property {string} [damaged] what is wrong with a file that only the browser could still decode
 * @property {number} [partial] of a photo that is cut short: how many percent of its rows are there; 100: all, without
 *   their detail
 * @property {Prediction[]} predictions most probable first
 * @property {boolean} recognised whether a probability reaches the `threshold` of the model; true without one
 * @property {string} [notRecognised] what the model's author says where it is not recognised
 * @property {Heatmap} [heatmap]
 * @property {{ code: string, message: string }} [noHeatmap] why there is none, where one was asked for
 * @property {Float32Array} [scores] of all classes, before softmax or sigmoid
 * @property {Float32Array} [probabilities] of all classes, where `scores` were asked for
 * @property {ImageBitmap} [view] the photo as it was classified, upright and over white, to lay heatmaps over;
 *   `close()` releases it
 * @property {{ decode: number, preprocess: number, inference: number, heatmap: number, total: number }} timing ms
 * @property {{ name: string, version: string, activation: Activation, unit?: string }} model with the unit of scores that
 *   are no probabilities, where it is known
 */

/**
 * How a photo becomes the network's input, as `model.json` says (docs/model.md): value = (pixel × scale − mean) / std.
 * @typedef {object} ModelInput
 * @property {string} name of the graph's input
 * @property {'nchw' | 'nhwc'} layout
 * @property {'rgb' | 'bgr' | 'grey'} channels
 * @property {number} width
 * @property {number} height
 * @property {{ mode: 'shorter-side' | 'exact' | 'fit', size?: number, filter: string, antialias?: boolean }} resize
 * @property {'center' | 'none'} crop
 * @property {number} scale
 * @property {number[]} mean one a channel, in their order
 * @property {number[]} std
 */

/**
 * @typedef {object} ModelInfo
 * @property {string} url of its `model.json`
 * @property {string} name
 * @property {string} version
 * @property {string} license
 * @property {string} source
 * @property {string | null} disclaimer to be shown beside every result
 * @property {number | null} threshold least probability, 0..1, of the first class of a photo that is recognised
 * @property {number} bytes of its weights
 * @property {string} sha256 of its weights
 * @property {'fp16' | 'fp32'} precision
 * @property {Activation} activation
 * @property {number} width of its input
 * @property {number} height
 * @property {ModelInput} input how photos are read
 * @property {string} library version of Whylens that runs it
 * @property {string} language of its labels
 * @property {string[]} labels in class order
 * @property {Layer[]} layers that heatmaps can be made at without compiling the model anew
 * @property {Layer[]} candidates that heatmaps can be taken at, as `model.json` lists them: the latest of each size,
 *   the latest last
 * @property {string[]} methods that heatmaps can be made by, the usual one first; without gradients, those that need
 *   them are missing
 * @property {string[]} layerless those of them that take no layer: their map is one of the input
 * @property {string[]} oneSided those of them that have no maps of what speaks against a class
 * @property {Record<string, number>} costs of each method in runs of the network, beside that of the photo: 0, or as many
 *   as it takes with its usual numbers at the usual layers
 */

/**
 * What a load did.
 * @typedef {object} Report
 * @property {{ requests: number, fromCache: boolean, cached: boolean, notes: string[] }} log
 * @property {string[]} warnings
 * @property {number} parsed
 * @property {number} optimised
 * @property {number} estimated bytes, before the download
 * @property {number} needed bytes in use afterwards
 * @property {number} peak most bytes in use during it
 * @property {{ manifest: number, download: number, prepare: number, warmUp: number, total: number }} timing ms;
 *   `warmUp`: of a model without a plan, which runs once before it is ready
 */

/** @typedef {{ wasm: number, live: number, peak: number }} Memory bytes: the module's memory (it never
 *   shrinks), what of it is in use, and the most that was in use */

/**
 * What `classifier.health()` gives; the fields from `url` on with `verbose: true` only.
 * @typedef {object} Health
 * @property {'idle' | 'loading' | 'ready' | 'error'} status
 * @property {boolean} model_loaded
 * @property {string} message the status in words, with the cause of a failure
 * @property {{ name: string, version: string, sha256: string, bytes: number } | null} model
 * @property {string | null} build of the module that runs the model now; none: it is not loaded
 * @property {(Memory & { ahead: number, limit: number, share: number | null, estimated: number, needed: number }) | null} memory
 *   bytes; `ahead` is the memory of workers that decode photos that wait, `share` the part of the limit that all of it
 *   takes, `estimated` before the download, `needed` by the loaded
 *   model
 * @property {Report['timing'] | null} timing ms of the last load
 * @property {{ weightsRequested: number, parsed: number, optimised: number, loads: number, crashes: number, renewals:
 *   number }} counters since the page was opened; `crashes` and `renewals` count workers
 * @property {string[]} warnings
 * @property {string} [url] of `model.json`
 * @property {import('./policy.js').Decision & { preload: string, signals: import('./policy.js').Signals }} [policy]
 *   eager or lazy, and why
 * @property {boolean} [heatmap] whether heatmaps can be made
 * @property {string | null} [module] folder of that module: `compile` runs models without a plan, and layers that are
 *   not in it
 * @property {number | null} [threads] that run the model now: fewer than asked for while they start, and where fewer are
 *   faster and nobody asked for a number
 * @property {import('./features.js').Features} [features] of the browser
 * @property {{ fromCache: boolean, cached: boolean, persisted: boolean | null } | null} [cache] `persisted`: the
 *   browser does not remove it by itself; null: it does not say
 * @property {string[]} [notes] what did not work and was skipped
 * @property {{ code: string, message: string } | null} [lastError]
 */

/**
 * What an ONNX file does not say about itself, as the options of `whylens pack`. What is absent is read from
 * the graph or guessed; value in the tensor = (pixel × scale − mean) / std.
 * @typedef {object} PackOptions
 * @property {string} name shown to people
 * @property {string} [version]
 * @property {string} [license] SPDX expression
 * @property {string} [source] where the weights come from
 * @property {string} [disclaimer] shown beside every result
 * @property {'nchw' | 'nhwc'} [layout]
 * @property {'rgb' | 'bgr' | 'grey'} [channels]
 * @property {[number, number]} [size] width and height, where the graph leaves them open
 * @property {{ mode: 'shorter-side' | 'exact' | 'fit', size?: number, filter: 'nearest' | 'box' | 'bilinear' |
 *   'bicubic' | 'lanczos' | 'area', antialias?: boolean }} [resize] `antialias: false`: as tensors of torch and
 *   TensorFlow and OpenCV's images are resized
 * @property {number} [cropPercent] share of the shorter side that the crop keeps, in place of `resize.size`
 * @property {string} [preset] name of numbers that stand for `scale`, `mean` and `std`: `imagenet`, `clip`, `half`, `unit`,
 *   `keras`, `caffe` or `raw`; see `src/pack/presets.rs`
 * @property {number} [scale] factor applied to pixels, 0..255, first
 * @property {number[]} [mean] one value, or one a channel in the tensor's order
 * @property {number[]} [std]
 * @property {'softmax' | 'sigmoid' | 'none'} [activation]
 * @property {string} [output] with the scores, where there are several
 * @property {string} [unit] of an output that is a number
 * @property {number} [threshold] least probability, 0..1, of the first class of a photo that is recognised
 * @property {string | Record<string, string>} [notRecognised] sentence for photos that are not, or one by language; needs
 *   `threshold`
 * @property {string} [layer] ONNX tensor that heatmaps are taken at
 * @property {'fp16' | 'fp32'} [precision] of the weights kept; when absent `fp16`, or `fp32` where values are
 *   quantised. With `fp16`, those that would change the result stay in `fp32`
 */

/**
 * @typedef {'activation' | 'channels' | 'colours' | 'opacity' | 'output' | 'pixels' | 'resize' | 'single' | 'size'} Guess
 *   what neither the graph nor the caller says
 */
/** @typedef {{ name: string, channels: number, height: number, width: number }} Layer */

/**
 * `model.json`; see `src/manifest.rs`.
 * @typedef {object} Manifest
 * @property {1} format
 * @property {string} name
 * @property {string} version
 * @property {string} license
 * @property {string} source
 * @property {string | null} disclaimer
 * @property {string | Record<string, string>} [notRecognised] sentence for photos where no probability reaches
 *   `output.threshold`, or one by language
 * @property {{ file: string, bytes: number, sha256: string, precision: 'fp16' | 'fp32', parameters?: number, plan?:
 *   number, parts?: { file: string, bytes: number }[] }} weights
 * @property {{ name: string, layout: 'nchw' | 'nhwc', channels: 'rgb' | 'bgr' | 'grey', width: number, height: number,
 * resize: NonNullable<PackOptions['resize']>, crop: 'center' | 'none', scale: number, mean: number[], std: number[]
 * }} input
 * @property {{ name: string, activation: 'softmax' | 'sigmoid' | 'none', applied?: 'softmax' | 'sigmoid',
 *   unit?: string, threshold?: number }} output what is still to be applied to it, and what the graph has applied itself
 * @property {{ layer: string | null, layers?: Layer[] }} heatmap
 * @property {Record<string, string>} labels
 */

/** @typedef {'labels' | 'size' | 'resize' | 'pixels' | 'colours' | 'activation' | 'name' | 'license'} What */

/**
 * What the files of a model say of it; see `src/pack/sources/mod.rs`.
 * @typedef {object} Found
 * @property {string[] | null} labels in class order
 * @property {PackOptions} options what they say is set, the rest null
 * @property {{ what: What, from: string }[]} facts where each is from
 * @property {{ what: What, said: [string, string][] }[]} conflicts what two files say differently, each with its name;
 *   nothing of it is taken
 * @property {string[]} limits what they ask for and `model.json` cannot say
 */

/** @typedef {{ name: string, channels: 'rgb' | 'bgr' | 'grey', scale: number, mean: number[], std: number[] }} Preset */

/**
 * What `inspectModel()` finds in an ONNX file.
 * @typedef {object} Inspection
 * @property {{ producer: string, opset: number, inputs: [string, (number | null)[]][], outputs: string[],
 * operators: Record<string, number>, unsupported: [string, string][], parameters: number }} outline what the graph
 * says
 *   of itself; the length of an axis that it leaves open is null
 * @property {Found} found what the files that came with it, its notes and its first operations say
 * @property {Preset[]} presets numbers that many classifiers are trained with, for the colours of this one
 * @property {Manifest} manifest that the graph and these suggest; its weights are not filled in
 * @property {Guess[]} guesses
 * @property {{ name: string, classes: number | null }[]} heads the tensors that may hold the scores, the one taken first
 * @property {string[] | null} labels where the graph holds them
 * @property {number} classes one that is read by a sigmoid becomes two when it is packed
 * @property {'softmax' | 'sigmoid' | null} activation at the end of the graph itself
 * @property {(Layer & { products: number })[]} layers that heatmaps can be taken at, the latest of each size, the
 *   latest first; `products` counts the matrix products and convolutions that are computed from it
 * @property {boolean} whole whether everything that the scores know of the photo has gone through each of these layers
 * @property {Layer | null} layer the one taken when none is named
 * @property {[ErrorCode, string] | null} noGradients why there are none, so that only methods without them can be used
 * @property {string[]} methods that heatmaps can be made by
 */

/**
 * What a model would say of a photo.
 * @typedef {object} Previewed
 * @property {Manifest['input']} input how the photo was read
 * @property {number | null} cropPercent share of the shorter side that the crop keeps; null where nothing is cropped
 * @property {Prediction[]} predictions the three most probable classes, without their labels
 * @property {number} classes
 * @property {Activation} activation
 */

/**
 * What `packModel()` found out.
 * @typedef {object} PackReport
 * @property {Guess[]} guesses
 * @property {number} classes
 * @property {string | null} layer that heatmaps are taken at
 * @property {boolean} whole whether everything that the scores know of the photo has gone through the layers found
 * @property {string | null} noGradients
 * @property {string | null} unplanned why the file holds no plan, so that the model is compiled at every load
 * @property {string[]} methods
 * @property {'fp16' | 'fp32'} precision
 * @property {string[]} single the weights that stay in FP32 although the others are in FP16
 * @property {number} weights how many they were found among; 0 if half precision was not refused
 * @property {number} bytesGiven
 * @property {number} bytesKept
 * @property {number} memory bytes needed while the model loads, estimated
 * @property {{ score: number, probability: number, sameFirst: boolean }} difference between the file given and the one
 *   kept, on a made-up image: the largest of a score and of a probability
 * @property {PackReport['difference'] | null} refused what half precision would have made of it, where it was not kept for all
 *   weights
 */

/**
 * @typedef {{ manifest: Manifest, weights: Uint8Array<ArrayBuffer>, labels: string, report: PackReport }} PackedModel a
 *   model folder; its labels, one a line, are those given or the graph's, and of a single one both sides
 */

/**
 * @typedef {object} PackingOptions
 * @property {Record<string, Blob>} [beside] files that the model may keep its weights in, and texts that may say
 *   something of it, by name
 * @property {number} [memoryLimit] bytes of WebAssembly memory that all of this page may use
 * @property {(progress: Progress) => void} [onProgress] phase `pack`
 * @property {AbortSignal} [signal]
 */

/**
 * What `fetchModel()` takes.
 * @typedef {object} FetchingOptions
 * @property {string} [endpoint] the Hub's address, `https://huggingface.co` when absent
 * @property {number} [memoryLimit] as of `PackingOptions`: what could not be packed in it is not downloaded
 * @property {(progress: Progress) => void} [onProgress] phase `download`
 * @property {AbortSignal} [signal]
 */

/**
 * @typedef {{ values: Float32Array<ArrayBuffer>, shape: number[], image: Size, region: Region, part?: Region }} Input a photo as the
 *   network saw it: `values` row-major
 */
/** @typedef {{ code: ErrorCode, message: string, cause?: string, limit?: number, percent?: number | null }} WireError */

/**
 * What the worker is told about a load.
 * @typedef {object} WireLoadOptions
 * @property {boolean} heatmap
 * @property {number} memoryLimit
 * @property {string[]} languages
 * @property {string | null} cache
 * @property {number} retries
 * @property {number} retryDelay
 * @property {number} stallTimeout
 * @property {boolean} [warmUp] whether to run the network once before the first photo, of a model with a plan once it is
 *   ready; yes when absent
 * @property {number} [threads] that may run a plan, in the module that has them; 1 when absent
 * @property {number} [memoryElsewhere] bytes that other modules in the worker take up
 * @property {{ requests: number, parsed: number, optimised: number }} [earlier] what the module did that the model
 *   comes from
 * @property {string} [manifest] the text of `model.json`, where it was read already
 */

/** @typedef {Pick<HeatmapOptions, 'grid' | 'masks' | 'steps' | 'seed' | 'fill' | 'smooth'>} HeatmapNumbers */
/** @typedef {HeatmapNumbers & { classIndex?: number, label?: string, sign: 'for' | 'against' | 'both', contrast?: {
 *   classIndex?: number, label?: string }, method?: string, layers: string[] }} WireHeatmapOptions */
/** @typedef {{ steps: number, orders: number, fill: 'blur' | 'mean' | 'linear', seed: number }} CheckNumbers */
/** @typedef {Pick<Heatmap, 'classIndex' | 'sign' | 'width' | 'height'> & CheckNumbers} WireCheckOptions */
/** @typedef {Pick<Heatmap, 'classIndex' | 'sign' | 'method' | 'layers' | 'width' | 'height' | 'max'> & { contrast: number[]
 *   }} WireStabilityOptions */
/** @typedef {Pick<Heatmap, 'classIndex' | 'values' | 'sign' | 'max' | 'width' | 'height' | 'region' | 'part' | 'image'>} WireMap */
/** @typedef {{ topK: number, threshold: number, region: Region | null, heatmap: WireHeatmapOptions | null, scores: boolean, maxPixels: number,
 *   maxBytes: number, partial: boolean, view: number | null }} WireClassifyOptions */
/** @typedef {{ memoryLimit: number, manifest?: string, options: PackOptions }} WirePackOptions */
/** @typedef {Blob | ArrayBuffer | Record<string, Blob>} WireFile the last: a folder, by path */
/** @typedef {{ width: number, height: number, colormap?: string, opacity: number }} WireRenderOptions */
/** @typedef {{ rgba: Uint8Array<ArrayBuffer>, width: number, height: number }} Pixels straight alpha, row-major */
/** @typedef {Blob | ArrayBuffer | ImageBitmap | Pixels} WirePhoto */
/** @typedef {{ rgba: Uint8ClampedArray<ArrayBuffer>, width: number, height: number }} Picture opaque, row-major */
/**
 * What a worker without a model needs to decode and resize photos for one: a module, the folder of its build, and
 * `input` of `model.json`.
 * @typedef {{ folder: string, compiled: WebAssembly.Module, input: Manifest['input'] }} Shared
 */
/**
 * A photo that was decoded and resized and waits for the network; times in ms, `partial` as in a result.
 * @typedef {{ input: Input, decode: number, preprocess: number, partial: number | null }} WireWaiting
 */
/** @typedef {WireWaiting & Pick<Result, 'decoder' | 'damaged' | 'view'>} Waiting */
/** @typedef {WireWaiting & Pick<Result, 'decoder' | 'damaged'> & { view?: Picture }} WireRead */
/** @typedef {Omit<Result, 'id' | 'view'> & { input?: Input, view?: Picture }} WireResult */

/**
 * Page → worker. Each but `cancel` is answered exactly once, unless the worker dies.
 * @typedef {{ type: 'load', url: string, options: WireLoadOptions, early: { port: MessagePort, urls: string[] } }
 *   | { type: 'classify', url: string, result: string, photo: WirePhoto | WireWaiting, options: WireClassifyOptions }
 *   | { type: 'ahead', photo: Blob | ArrayBuffer, shared: Shared, options: WireClassifyOptions }
 *   | { type: 'share', url: string }
 *   | { type: 'heatmap', url: string, result: string, input: Input, options: WireHeatmapOptions }
 *   | { type: 'features', url: string, result: string, input: Input, layer: string | undefined, pooled: boolean }
 *   | { type: 'check', url: string, result: string, input: Input, values: Float32Array, options: WireCheckOptions }
 *   | { type: 'stability', url: string, result: string, input: Input, values: Float32Array, options: WireStabilityOptions }
 *   | { type: 'render', heatmap: WireMap, options: WireRenderOptions }
 *   | { type: 'decode', photo: Blob | ArrayBuffer, maxPixels: number, longest: number }
 *   | { type: 'dispose', url: string }
 *   | { type: 'fetch', address: string, endpoint: string | undefined, memoryLimit: number }
 *   | { type: 'inspect', model: WireFile, beside: Record<string, Blob>, options: WirePackOptions }
 *   | { type: 'pack', model: WireFile, beside: Record<string, Blob>, labels: string, options: WirePackOptions }
 *   | { type: 'preview', model: WireFile, beside: Record<string, Blob>, photo: ArrayBuffer, options: WirePackOptions }
 *   | { type: 'state', url: string }} Call
 * @typedef {Call & { id: number }} Request
 * @typedef {{ type: 'cancel', target: number }} Cancel
 */

/**
 * Worker → page. `started` is the first message of a worker; `holding` says that it has the lock of its name; `heard` is
 * a call that is given up, which tells that the worker is not stuck; `crashed` is the last message of a worker; `id` is the
 * call that it was busy with.
 * @typedef {{ id: number, result: any, memory: Memory | null }
 *   | { id: number, error: WireError, memory: Memory | null }
 *   | { id: number, progress: Progress }
 *   | { started: true }
 *   | { holding: true }
 *   | { heard: number }
 *   | { crashed: WireError, id: number | null }} Answer
 */

/** @typedef {(done: number, total: number) => void} Steps */

/**
 * The WebAssembly module; see `src/wasm.rs`. Failures are thrown as errors with a `code`; anything
 * else that it throws means that it is dead.
 * @typedef {object} Module
 * @property {(input: { module_or_path: Response, memory?: WebAssembly.Memory }) => Promise<unknown>} default
 * @property {(url: string, options: WireLoadOptions, progress: (phase: Progress['phase'], loaded: number, total:
 *   number) => void, signal: AbortSignal) => Promise<{ model: ModelInfo, report: Report }>} load
 * @property {(url: string, result: string, photo: Uint8Array, options: WireClassifyOptions, progress: Steps, signal:
 *   AbortSignal) => Promise<WireResult>} classify
 * @property {(url: string, result: string, rgba: Uint8Array, width: number, height: number, decode: number, options:
 *   WireClassifyOptions, progress: Steps, signal: AbortSignal) => Promise<WireResult>} classifyPixels
 * @property {(url: string, result: string, waiting: WireWaiting, options: WireClassifyOptions, progress: Steps, signal:
 *   AbortSignal) => Promise<WireResult>} classifyWaiting
 * @property {() => WebAssembly.Module} compiled
 * @property {(url: string) => Manifest['input']} inputOf
 * @property {(photo: Uint8Array, input: Manifest['input'], options: WireClassifyOptions) => WireRead} readAhead
 * @property {(rgba: Uint8Array, width: number, height: number, decode: number, input: Manifest['input'], options:
 *   WireClassifyOptions) => WireRead} readPixelsAhead
 * @property {(url: string, result: string, input: Input, options: WireHeatmapOptions, progress: Steps, signal:
 *   AbortSignal) => Promise<Heatmap>} heatmap
 * @property {(url: string, result: string, input: Input, values: Float32Array, options: WireCheckOptions, progress:
 *   Steps, signal: AbortSignal) => Promise<Checked>} check
 * @property {(url: string, result: string, input: Input, layer: string | undefined, pooled: boolean) => Features} features
 * @property {(url: string, result: string, input: Input, values: Float32Array, options: WireStabilityOptions, progress:
 *   Steps, signal: AbortSignal) => Promise<Stability>} stability
 * @property {(names: string[]) => { onnx: string, texts: string[], weights: string[] }} chooseModel
 * @property {(name: string, endpoint?: string) => string | undefined} hubListing
 * @property {(name: string, endpoint: string | undefined, listing: Uint8Array) => { name: string, sha: string, choice:
 *   { onnx: string, texts: string[], weights: string[] }, files: Record<string, { url: string, bytes: number | null,
 *   sha256: string | null }> }} hubVersion
 * @property {(model: () => Uint8Array) => string[]} outsideWeights
 * @property {(model: () => Uint8Array, beside: Record<string, () => Uint8Array>, options: WirePackOptions) => Inspection}
 *   inspectModel
 * @property {(model: () => Uint8Array, beside: Record<string, () => Uint8Array>, labels: string, options:
 *   WirePackOptions, progress: Steps) => PackedModel} packModel
 * @property {(model: () => Uint8Array, beside: Record<string, () => Uint8Array>, photo: Uint8Array, options:
 *   WirePackOptions) => Previewed} previewModel
 * @property {(photo: Uint8Array, maxPixels: number, longest: number) => Picture} decodePhoto
 * @property {(values: Float32Array, heatmap: object, options: WireRenderOptions) => Uint8ClampedArray<ArrayBuffer>}
 *   render
 * @property {(url: string, layers: string[], method: string | undefined) => Promise<unknown>} addLayers
 * @property {(url: string) => Report | undefined} report
 * @property {(url: string) => void} dispose
 * @property {(threads: boolean) => boolean} tune chooses kernels, and the number of threads, by measuring them
 * @property {() => Float64Array} memoryUse
 * @property {() => [WebAssembly.Module, WebAssembly.Memory]} [shared] in the build with threads, as the next three
 * @property {() => void} [help]
 * @property {() => number} [threads]
 * @property {() => void} [helperDied]
 * @property {(init: { module: WebAssembly.Module, memory?: WebAssembly.Memory, thread_stack_size?: number }) => unknown}
 *   initSync
 */

export {};
