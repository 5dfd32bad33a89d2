import { useEffect, useState } from 'react';
import { load } from 'whylens';

/** What the model says of a photo: `{ result, overlay }`, `{ error }`, or nothing yet. */
export function useWhylens(model, photo) {
  const [answer, setAnswer] = useState({});
  useEffect(() => {
    const stop = new AbortController();
    (async () => {
      const classifier = await load(model); // the same one each time
      if (!photo) return;
      const result = await classifier.classify(photo, { view: 640, signal: stop.signal });
      const overlay = await classifier.render(result.heatmap, result.view);
      if (!stop.signal.aborted) setAnswer({ result, overlay });
    })().catch((error) => stop.signal.aborted || setAnswer({ error }));
    return () => stop.abort();
  }, [model, photo]);
  return answer;
}
