// what the form for a model of the reader's own says, in every language of the page

const en = {
  ownModel: {
    title: 'Your own model',
    use: 'Check and use',
    name: 'Name',
    /** @param {string} file @param {string} size @param {string} input @param {number} classes */
    about: (file, size, input, classes) =>
      `${file}, ${size}. It takes ${input} and knows ${classes === 1 ? '1 class' : `${classes} classes`}.`,
    /** @param {string} activation */
    endsIn: (activation) => `It ends in its own ${activation}.`,
    noGradients: 'It cannot be differentiated here, so heatmaps use methods that need no gradient.',
    partial: 'Its paths from the photo to the scores never meet in one map, so heatmaps do not show all that it sees.',
    /** @param {string} what */
    rest: (what) => `No file says: ${what}. Please check these.`,
    /** @param {string} facts each with its file */
    read: (facts) => `Read: ${facts}.`,
    readTerm: 'Read',
    /** @param {string} facts @param {string} file */
    from: (facts, file) => `${facts} from ${file}`,
    /** @type {Record<string, string>} */
    inside: { 'the graph': 'the graph', "the model's own notes": 'the notes in the file' },
    what: {
      labels: 'labels',
      size: 'size',
      resize: 'resize',
      pixels: 'pixel values',
      colours: 'order of colours',
      activation: 'output',
      name: 'name',
      license: 'licence',
    },
    /** @param {string} what @param {string[]} said a file, what it says, another file, what that says */
    conflict: (what, [one, first, other, second]) =>
      `Two files contradict each other (${what}): ${first} in ${one}, ${second} in ${other}. Please choose.`,
    /** @param {string} limit */
    limit: (limit) => `Not read: ${limit}.`,
    /** @param {string} address @param {string | null} loaded @param {string | null} total */
    fetching: (address, loaded, total) =>
      loaded ? `Downloading ${address}: ${loaded} of ${total}` : `Downloading ${address}`,
    /** @param {string} file */
    reading: (file) => `Reading ${file}`,
    checking: 'Checking the model',
    checkingStep: ['Running the original', 'Storing it at half the size', 'Comparing the two'],
    /** @param {string} name */
    ready: (name) => `“${name}” is checked, packed and in use.`,
    done: 'Go on',
    change: 'Change the answers',
    save: 'Save the model folder',
    open: 'pictures of any size',
    pixel: 'Pixel values',
    /** @param {string} files */
    source: (files) => `From ${files}`,
    pixels: {
      own: 'Own numbers',
      imagenet: 'ImageNet mean and deviation (torchvision)',
      clip: 'CLIP mean and deviation (OpenAI)',
      half: '−1 to 1 (mean 0.5, deviation 0.5)',
      unit: '0 to 1',
      keras: '−1 to 1 (Keras)',
      caffe: 'Caffe: BGR minus the mean',
      raw: '0 to 255 (the graph scales them)',
    },
    resize: 'Size',
    resizes: {
      crop: 'Crop the middle',
      square: 'Stretch to a square, crop the middle',
      stretch: 'Stretch',
      fit: 'Fit the whole photo, with borders',
    },
    size: 'Width and height in pixels',
    activation: 'Output',
    activations: {
      softmax: 'One class per photo (softmax)',
      sigmoid: 'Several classes per photo (sigmoid)',
      none: 'Unchanged',
    },
    output: 'Scores from',
    /** @param {string} name @param {number | null} classes */
    outputOf: (name, classes) =>
      classes === null ? name : `${name} (${classes === 1 ? '1 value' : `${classes} classes`})`,
    unit: 'Unit of the number, such as years',
    labels: 'Labels',
    labelsHint: 'One per line; leave empty to number them',
    /** @param {number} n @param {number} classes */
    labelsCount: (n, classes) =>
      n === classes
        ? n === 1
          ? '1 label for 1 class'
          : `${n} labels, one per class`
        : `${n} ${n === 1 ? 'label' : 'labels'} for ${classes} ${classes === 1 ? 'class' : 'classes'}`,
    more: 'More',
    changeReading: 'Change how photos are read',
    numberGroup: 'Numbers: (pixel × scale − mean) / deviation',
    scale: 'Scale of pixels, such as 1/255',
    mean: 'Mean, one number or one per colour',
    std: 'Deviation, one number or one per colour',
    channels: 'Colours',
    orders: { rgb: 'Red, green, blue (RGB)', bgr: 'Blue, green, red (BGR)', grey: 'Grey' },
    badScale: 'The scale is one number other than 0, such as 1/255.',
    /** @param {number} count @returns {string} */
    badNumbers: (count) =>
      count === 1 ? 'The mean is one number.' : 'The mean is one number, or one for each of three colours.',
    /** @param {number} count @returns {string} */
    badStd: (count) =>
      count === 1
        ? 'The deviation is one number above 0.'
        : 'The deviation is one number above 0, or one for each of three colours.',
    /** @param {string} low @param {string} high */
    range: (low, high) => `The model gets values from ${low} to ${high}.`,
    /** @param {string} high */
    otherUnit: (high) => `Pixels are scaled to 0 to ${high}: is the mean meant for another scale?`,
    cropGroup: 'Before the crop',
    side: 'Shorter side in pixels',
    percent: 'Or what the crop keeps of it, in percent',
    sampleGroup: 'Resampling',
    filter: 'Filter',
    filters: {
      bilinear: 'Bilinear',
      bicubic: 'Bicubic',
      lanczos: 'Lanczos',
      box: 'Box',
      nearest: 'Nearest',
      area: 'Area (OpenCV)',
    },
    antialias: 'Smooth when shrinking (antialias), as Pillow does; TensorFlow and OpenCV do not',
    threshold: 'Recognised from, in percent; empty: always',
    notRecognised: 'Sentence for photos that are not recognised',
    preview: {
      title: 'With these answers',
      loading: 'Loading the model to try the answers',
      /** @param {string} label */
      not: (label) => `not ${label}`,
      suspicious: {
        same: 'One class for all three photos, nearly certain: this often means that the pixel values are wrong.',
        even: 'All classes are nearly equal: this often means that the pixel values or the output are wrong.',
      },
      /** @type {Record<string, string>} */
      failed: {
        'over-memory-limit': 'There is not enough memory left to try the answers.',
        'out-of-memory': 'There is not enough memory left to try the answers.',
        'bad-option': 'These answers do not fit the model.',
        'bad-manifest': 'These answers do not fit the model.',
        other: 'The answers cannot be tried.',
      },
    },
    layer: 'Heatmaps at',
    lastLayer: 'The last map',
    precision: 'Weights',
    precisions: { '': 'FP16 if results stay the same', fp16: 'FP16: half the size', fp32: 'FP32: unchanged' },
    disclaimer: 'Note beside every result',
    keep: 'Keep it on this device for the next visit',
    keepIt: 'Keep it on this device',
    persisted: {
      yes: 'It is kept. The browser does not remove it by itself.',
      no: 'It is kept. The browser may remove it when space is short.',
    },
  },
  packed: {
    weights: 'Weights',
    agreement: 'Agreement',
    memory: 'Memory',
    heatmaps: 'Heatmaps',
    noGradients: 'No gradient',
    start: 'Start',
    assumed: 'Assumed',
    /** @param {string} kept @param {string} precision @param {string} given */
    weightsText: (kept, precision, given) => `${kept} in ${precision}, from ${given}`,
    /** @param {string} difference @param {boolean} same */
    agreementText: (difference, same) =>
      `Probabilities differ from the original file by at most ${difference}; ` +
      `the top class is ${same ? 'the same' : 'DIFFERENT'}.`,
    /** @param {string} difference */
    refusedText: (difference) => `With FP16, a probability would differ by ${difference}, so FP32 was kept.`,
    /** @param {string} difference @param {number} single @param {number} all */
    partlyText: (difference, single, all) =>
      `With FP16 for all weights, a probability would differ by ${difference}, so ${single} of ${all} were kept in FP32.`,
    /** @param {string} bytes */
    memoryText: (bytes) => `about ${bytes} while it loads`,
    /** @param {string | null} unplanned @returns {string} */
    startText: (unplanned) =>
      unplanned === null ? 'compiled: nothing is left to do at load' : `compiled at every load: ${unplanned}`,
    guesses: {
      activation: 'One class per photo (softmax).',
      single: 'The one score decides between two classes (sigmoid).',
      opacity: 'The fourth channel is opacity, which is full.',
      output: 'The scores are in the output chosen.',
      channels: 'Three colours.',
      colours: 'Colours in the order red, green, blue.',
      pixels: 'Pixel values as ImageNet networks expect them.',
      resize: 'The photo is cropped to its middle.',
      size: 'A common input size.',
    },
  },
};

/** @typedef {typeof en} Words */

/** @type {Words} */
const vi = {
  ownModel: {
    title: 'Mô hình của bạn',
    use: 'Kiểm tra và dùng',
    name: 'Tên',
    about: (file, size, input, classes) => `${file}, ${size}. Mô hình nhận ${input} và biết ${classes} lớp.`,
    endsIn: (activation) => `Đồ thị đã kết thúc bằng ${activation}.`,
    noGradients: 'Không lấy đạo hàm được ở đây: bản đồ nhiệt dùng các phương pháp không cần đạo hàm.',
    partial:
      'Các nhánh từ ảnh đến điểm số không gặp nhau ở một bản đồ nào: ' +
      'bản đồ nhiệt không cho thấy hết những gì mô hình thấy.',
    rest: (what) => `Không tệp nào nói về: ${what}. Hãy kiểm tra các mục này.`,
    read: (facts) => `Đã đọc: ${facts}.`,
    readTerm: 'Đã đọc',
    from: (facts, file) => `${facts} từ ${file}`,
    inside: { 'the graph': 'đồ thị', "the model's own notes": 'ghi chú trong tệp' },
    what: {
      labels: 'nhãn',
      size: 'kích thước',
      resize: 'đổi cỡ',
      pixels: 'giá trị điểm ảnh',
      colours: 'thứ tự màu',
      activation: 'đầu ra',
      name: 'tên',
      license: 'giấy phép',
    },
    conflict: (what, [one, first, other, second]) =>
      `Hai tệp nói khác nhau (${what}): ${first} trong ${one}, ${second} trong ${other}. Hãy chọn.`,
    limit: (limit) => `Không đọc được: ${limit}.`,
    fetching: (address, loaded, total) =>
      loaded ? `Đang tải ${address}: ${loaded} trên ${total}` : `Đang tải ${address}`,
    reading: (file) => `Đang đọc ${file}`,
    checking: 'Đang kiểm tra mô hình',
    checkingStep: ['Đang chạy bản gốc', 'Đang lưu với nửa dung lượng', 'Đang so sánh hai bản'],
    ready: (name) => `“${name}” đã được kiểm tra, đóng gói và đang được dùng.`,
    done: 'Tiếp tục',
    change: 'Sửa câu trả lời',
    save: 'Lưu thư mục mô hình',
    open: 'ảnh cỡ bất kỳ',
    pixel: 'Giá trị điểm ảnh',
    source: (files) => `Từ ${files}`,
    pixels: {
      own: 'Số tự nhập',
      imagenet: 'Trung bình và độ lệch ImageNet (torchvision)',
      clip: 'Trung bình và độ lệch CLIP (OpenAI)',
      half: '−1 đến 1 (trung bình 0,5, độ lệch 0,5)',
      unit: '0 đến 1',
      keras: '−1 đến 1 (Keras)',
      caffe: 'Caffe: BGR trừ trung bình',
      raw: '0 đến 255 (đồ thị tự đổi)',
    },
    resize: 'Đổi cỡ',
    resizes: {
      crop: 'Cắt phần giữa',
      square: 'Kéo thành hình vuông, cắt phần giữa',
      stretch: 'Kéo giãn',
      fit: 'Vừa cả ảnh, thêm viền',
    },
    size: 'Rộng và cao theo điểm ảnh',
    activation: 'Đầu ra',
    activations: { softmax: 'Một lớp mỗi ảnh (softmax)', sigmoid: 'Nhiều lớp mỗi ảnh (sigmoid)', none: 'Để nguyên' },
    output: 'Điểm số lấy từ',
    outputOf: (name, classes) =>
      classes === null ? name : `${name} (${classes === 1 ? '1 giá trị' : `${classes} lớp`})`,
    unit: 'Đơn vị của giá trị, ví dụ năm',
    labels: 'Nhãn',
    labelsHint: 'Mỗi dòng một nhãn; để trống: đánh số',
    labelsCount: (n, classes) => (n === classes ? `${n} nhãn, mỗi lớp một nhãn` : `${n} nhãn cho ${classes} lớp`),
    more: 'Thêm',
    changeReading: 'Đổi cách đọc ảnh',
    numberGroup: 'Các số: (điểm ảnh × tỉ lệ − trung bình) / độ lệch',
    scale: 'Tỉ lệ của điểm ảnh, ví dụ 1/255',
    mean: 'Trung bình, một số hoặc mỗi màu một số',
    std: 'Độ lệch, một số hoặc mỗi màu một số',
    channels: 'Màu',
    orders: { rgb: 'Đỏ, lục, lam (RGB)', bgr: 'Lam, lục, đỏ (BGR)', grey: 'Xám' },
    badScale: 'Tỉ lệ là một số khác 0, ví dụ 1/255.',
    badNumbers: (count) => (count === 1 ? 'Trung bình là một số.' : 'Trung bình là một số, hoặc ba số cho ba màu.'),
    badStd: (count) =>
      count === 1 ? 'Độ lệch là một số lớn hơn 0.' : 'Độ lệch là một số lớn hơn 0, hoặc ba số cho ba màu.',
    range: (low, high) => `Mô hình nhận giá trị từ ${low} đến ${high}.`,
    otherUnit: (high) => `Điểm ảnh được đổi về 0 đến ${high}: có phải trung bình dành cho tỉ lệ khác?`,
    cropGroup: 'Trước khi cắt',
    side: 'Cạnh ngắn theo điểm ảnh',
    percent: 'Hoặc phần được giữ lại khi cắt, theo phần trăm',
    sampleGroup: 'Lấy mẫu',
    filter: 'Bộ lọc',
    filters: {
      bilinear: 'Bilinear',
      bicubic: 'Bicubic',
      lanczos: 'Lanczos',
      box: 'Box',
      nearest: 'Gần nhất',
      area: 'Diện tích (OpenCV)',
    },
    antialias: 'Làm mịn khi thu nhỏ (antialias), như Pillow; TensorFlow và OpenCV thì không',
    threshold: 'Nhận ra từ bao nhiêu phần trăm; để trống: luôn luôn',
    notRecognised: 'Câu cho những ảnh không nhận ra',
    preview: {
      title: 'Với các câu trả lời này',
      loading: 'Đang tải mô hình để thử các câu trả lời',
      not: (label) => `không phải ${label}`,
      suspicious: {
        same: 'Cả ba ảnh cùng một lớp, gần như chắc chắn: thường là do giá trị điểm ảnh sai.',
        even: 'Mọi lớp gần như bằng nhau: thường là do giá trị điểm ảnh hoặc đầu ra sai.',
      },
      failed: {
        'over-memory-limit': 'Không còn đủ bộ nhớ để thử các câu trả lời.',
        'out-of-memory': 'Không còn đủ bộ nhớ để thử các câu trả lời.',
        'bad-option': 'Các câu trả lời này không hợp với mô hình.',
        'bad-manifest': 'Các câu trả lời này không hợp với mô hình.',
        other: 'Không thử được các câu trả lời.',
      },
    },
    layer: 'Bản đồ nhiệt tại',
    lastLayer: 'Lớp cuối',
    precision: 'Trọng số',
    precisions: { '': 'FP16 nếu không đổi gì', fp16: 'FP16: nửa dung lượng', fp32: 'FP32: giữ nguyên' },
    disclaimer: 'Ghi chú cạnh mỗi kết quả',
    keep: 'Giữ trên thiết bị này cho lần sau',
    keepIt: 'Giữ trên thiết bị này',
    persisted: {
      yes: 'Đã giữ. Trình duyệt sẽ không tự xóa.',
      no: 'Đã giữ. Trình duyệt có thể xóa khi thiếu dung lượng.',
    },
  },
  packed: {
    weights: 'Trọng số',
    agreement: 'Độ khớp',
    memory: 'Bộ nhớ',
    heatmaps: 'Bản đồ nhiệt',
    noGradients: 'Không có đạo hàm',
    start: 'Khởi động',
    assumed: 'Giả định',
    weightsText: (kept, precision, given) => `${kept} ở ${precision}, từ ${given}`,
    agreementText: (difference, same) =>
      `Xác suất lệch nhiều nhất ${difference} so với tệp gốc; lớp đứng đầu ${same ? 'giữ nguyên' : 'THAY ĐỔI'}.`,
    refusedText: (difference) => `Với FP16 một xác suất sẽ lệch ${difference}, nên giữ FP32.`,
    partlyText: (difference, single, all) =>
      `Với FP16 cho mọi trọng số, một xác suất sẽ lệch ${difference}, nên giữ FP32 cho ${single} trong ${all}.`,
    memoryText: (bytes) => `khoảng ${bytes} khi tải`,
    startText: (unplanned) =>
      unplanned === null
        ? 'đã biên dịch sẵn: khi tải không còn gì phải làm'
        : `mỗi lần tải đều phải biên dịch lại: ${unplanned}`,
    guesses: {
      activation: 'Một lớp mỗi ảnh (softmax).',
      single: 'Điểm số duy nhất quyết định giữa hai lớp (sigmoid).',
      opacity: 'Kênh thứ tư là độ mờ đục, luôn đầy.',
      output: 'Điểm số nằm ở đầu ra đã chọn.',
      channels: 'Ba màu.',
      colours: 'Thứ tự màu đỏ, lục, lam.',
      pixels: 'Giá trị điểm ảnh như các mạng ImageNet.',
      resize: 'Cắt phần giữa của ảnh.',
      size: 'Một cỡ ảnh thường dùng.',
    },
  },
};

/** @type {Record<string, Words>} */
const all = { en, vi };

/** @param {string} code @returns {Words} */
export const ownModelWords = (code) => all[code] ?? en;
