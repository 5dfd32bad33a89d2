// lists of numbers → one, and texts

export const geometric = (values) => Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

export const quantile = (values, q) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))];

export const median = (values) => quantile(values, 0.5);

/** An object's numbers with their names. */
export const each = (ratios) =>
  Object.entries(ratios)
    .map(([name, value]) => `${name} ${value.toFixed(2)}`)
    .join(', ');
