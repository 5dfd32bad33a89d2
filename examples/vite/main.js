import { load } from 'whylens';

const model = load('models/efficientnet-lite0/');
const [canvas, said] = document.querySelectorAll('canvas, output');

document.querySelector('input').addEventListener('change', async ({ target }) => {
  const classifier = await model;
  const { predictions, heatmap, view } = await classifier.classify(target.files[0], { view: 640 });
  const { width, height } = Object.assign(canvas, { width: view.width, height: view.height });
  const overlay = await createImageBitmap(await classifier.render(heatmap, { width, height }));
  const pen = canvas.getContext('2d');
  pen.drawImage(view, 0, 0);
  pen.drawImage(overlay, 0, 0);
  said.value = `${predictions[0].label}, ${Math.round(predictions[0].probability * 100)} %`;
});
