'use client';

import { useEffect, useRef, useState } from 'react';
import { useWhylens } from './useWhylens.js';

export function Why({ model }) {
  const [photo, setPhoto] = useState(null);
  const { result, overlay, error } = useWhylens(model, photo);
  const canvas = useRef(null);
  useEffect(() => {
    if (result) void draw(canvas.current, result.view, overlay);
  }, [result, overlay]);
  const best = result?.predictions[0];
  return (
    <>
      <p>
        <label>
          Photo <input type="file" accept="image/*" onChange={({ target }) => setPhoto(target.files[0] ?? null)} />
        </label>
      </p>
      <canvas ref={canvas} width={result?.view.width ?? 0} height={result?.view.height ?? 0} />
      <p>
        <output>{error ? error.message : best && `${best.label}, ${Math.round(best.probability * 100)} %`}</output>
      </p>
    </>
  );
}

async function draw(canvas, view, overlay) {
  const heat = await createImageBitmap(overlay);
  const pen = canvas.getContext('2d');
  pen.drawImage(view, 0, 0);
  pen.drawImage(heat, 0, 0);
}
