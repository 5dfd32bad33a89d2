// health report → JSON as text
import { element } from './element.js';

export function healthView() {
  const text = element('pre', { tabIndex: 0 });
  const root = element('section', { className: 'health', hidden: true, 'aria-label': 'health' }, text);
  return {
    root,
    /** @param {{report: unknown}} data */
    update({ report }) {
      root.hidden = !report;
      text.textContent = report ? JSON.stringify(report, null, 2) : '';
    },
  };
}
