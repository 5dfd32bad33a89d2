// words of the check of a heatmap

/** @typedef {typeof en} CheckWords */

/**
 * @typedef {object} Found figures as text
 * @property {string} share that is hidden
 * @property {string} subject what the curve is of, in a sentence
 * @property {string} from before
 * @property {string} to without what the map marks most
 * @property {'falls' | 'rises' | 'stays'} moves from one to the other
 * @property {string} random without as much at random
 * @property {'falls' | 'rises' | 'stays'} drifts from `from` to `random`
 */

const en = {
  /** @param {string} what */
  title: (what) => `Check of the map: ${what}`,
  /** @param {number} done @param {number} all 0 where not known */
  progress: (done, all) => (all ? `Checking the map · ${done} of ${all}` : 'Checking the map …'),
  bar: 'Progress of the check',
  number: 'the number',
  /** @param {string} label */
  quoted: (label) => `“${label}”`,
  /** @param {string} label */
  score: (label) => `the score of “${label}”`,
  /** @param {Found} found */
  sentence: ({ share, subject, from, to, moves, random, drifts }) => {
    const change = moves === 'stays' ? `stays at ${from}` : `${moves} from ${from} to ${to}`;
    const by =
      drifts === 'stays' ? `it stays at ${random}` : drifts === moves ? `to ${random}` : `it ${drifts} to ${random}`;
    return `Without the ${share} that the map marks most, ${subject} ${change}; without ${share} at random, ${by}.`;
  },
  verdicts: {
    /** @param {number} orders */
    better: (orders) => `The map is better than chance: it beats each of ${orders} random orders, by both tests.`,
    /** @param {number} orders */
    chance: (orders) =>
      `The map is no better than chance: it does not beat each of ${orders} random orders by both tests.`,
    /** @param {number} orders */
    worse: (orders) => `The map is worse than chance: each of ${orders} random orders beats it, by both tests.`,
  },
  /** @param {string} chance */
  basis: (chance) => `A random map would be called so with a probability of at most ${chance}.`,
  /** @param {number} orders */
  again: (orders) => `A thorough check, with ${orders} random orders, tells more.`,
  stable: 'The map stays much the same when the photo is shifted a little or saved as a JPEG.',
  /** @param {string} correlation */
  fragile: (correlation) =>
    `The map is fragile: when the photo is shifted a little or saved as a JPEG, it changes (correlation ${correlation}).`,
  values: 'All values, and the opposite test',
  meaning: 'This says how well the map tells what this model uses, not whether the model is right.',
  deletion: {
    title: 'What the map marks most is hidden first',
    axis: 'share of the map hidden',
    /** @param {string} area @param {string} least @param {string} most */
    area: (area, least, most) => `Area under the curve: ${area}, at random ${least} to ${most}. The lower, the better.`,
  },
  insertion: {
    title: 'What the map marks most is shown first',
    axis: 'share of the map shown',
    /** @param {string} area @param {string} least @param {string} most */
    area: (area, least, most) =>
      `Area under the curve: ${area}, at random ${least} to ${most}. The higher, the better.`,
  },
  /** @param {string} subject */
  probability: (subject) => `Probability of ${subject}`,
  map: 'This map',
  mean: 'At random, mean',
  band: 'lowest to highest',
  /** @param {string} title @param {string} map @param {string} random */
  alt: (title, map, random) => `${title}. This map: ${map}. At random, mean: ${random}.`,
  /** @param {string} share @param {string} value */
  at: (share, value) => `${value} at ${share}`,
  share: 'Share',
};

/** @type {CheckWords} */
const vi = {
  title: (what) => `Kiểm tra bản đồ: ${what}`,
  progress: (done, all) => (all ? `Đang kiểm tra bản đồ · ${done} / ${all}` : 'Đang kiểm tra bản đồ …'),
  bar: 'Tiến độ kiểm tra',
  number: 'giá trị',
  quoted: (label) => `“${label}”`,
  score: (label) => `điểm của “${label}”`,
  sentence: ({ share, subject, from, to, moves, random, drifts }) => {
    const verbs = { falls: 'giảm', rises: 'tăng', stays: 'vẫn' };
    const ends = { falls: 'xuống', rises: 'lên', stays: 'ở mức' };
    const change = moves === 'stays' ? `vẫn ở mức ${from}` : `${verbs[moves]} từ ${from} ${ends[moves]} ${to}`;
    return (
      `Khi che ${share} mà bản đồ đánh dấu mạnh nhất, ${subject} ${change}; ` +
      `khi che ngẫu nhiên ${share}, ${subject} ${verbs[drifts]} ${ends[drifts]} ${random}.`
    );
  },
  verdicts: {
    better: (orders) => `Bản đồ tốt hơn ngẫu nhiên: nó hơn cả ${orders} thứ tự ngẫu nhiên, trong cả hai phép thử.`,
    chance: (orders) =>
      `Bản đồ không tốt hơn ngẫu nhiên: nó không hơn được cả ${orders} thứ tự ngẫu nhiên trong cả hai phép thử.`,
    worse: (orders) => `Bản đồ kém hơn ngẫu nhiên: cả ${orders} thứ tự ngẫu nhiên đều hơn nó, trong cả hai phép thử.`,
  },
  basis: (chance) => `Một bản đồ ngẫu nhiên được đánh giá như vậy với xác suất nhiều nhất là ${chance}.`,
  again: (orders) => `Kiểm tra kỹ hơn, với ${orders} thứ tự ngẫu nhiên, sẽ cho biết rõ hơn.`,
  stable: 'Bản đồ hầu như không đổi khi ảnh bị dịch đi một chút hoặc được lưu thành JPEG.',
  fragile: (correlation) =>
    `Bản đồ không ổn định: nó thay đổi khi ảnh bị dịch đi một chút hoặc được lưu thành JPEG (tương quan ${correlation}).`,
  values: 'Mọi giá trị và phép thử ngược lại',
  meaning:
    'Điều này cho biết bản đồ nói đúng đến đâu về những gì mô hình dùng, chứ không cho biết mô hình có đúng hay không.',
  deletion: {
    title: 'Che trước những chỗ bản đồ đánh dấu mạnh nhất',
    axis: 'phần bản đồ bị che',
    area: (area, least, most) =>
      `Diện tích dưới đường: ${area}, ngẫu nhiên từ ${least} đến ${most}. Càng thấp càng tốt.`,
  },
  insertion: {
    title: 'Hiện trước những chỗ bản đồ đánh dấu mạnh nhất',
    axis: 'phần bản đồ được hiện',
    area: (area, least, most) =>
      `Diện tích dưới đường: ${area}, ngẫu nhiên từ ${least} đến ${most}. Càng cao càng tốt.`,
  },
  probability: (subject) => `Xác suất của ${subject}`,
  map: 'Bản đồ này',
  mean: 'Ngẫu nhiên, trung bình',
  band: 'từ thấp nhất đến cao nhất',
  alt: (title, map, random) => `${title}. Bản đồ này: ${map}. Ngẫu nhiên, trung bình: ${random}.`,
  at: (share, value) => `${value} tại ${share}`,
  share: 'Phần',
};

/** @param {string} code of a language @returns {CheckWords} */
export const checkWords = (code) => (code === 'vi' ? vi : en);
