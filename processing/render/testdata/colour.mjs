// sharp's part of TestCorpusColour. For each pair of an original and a view of it, sharp makes a view
// of its own. A line of JSON tells its size in bytes, the PSNR of luma of both against
// the original, and has small pictures of the three, all converted to sRGB by their profiles.
import sharp from 'sharp';

const options = JSON.parse(process.argv.at(-1));
sharp.concurrency(1);

// pixels are those of an image in sRGB, on white.
const pixels = (image) => image.flatten({ background: 'white' }).toColourspace('srgb').raw().toBuffer({ resolveWithObject: true });

const small = async ({ data, info }) => {
  const raw = { width: info.width, height: info.height, channels: info.channels };
  const made = await sharp(data, { raw }).resize(128, 128, { fit: 'inside' }).toColourspace('srgb').raw().toBuffer({ resolveWithObject: true });
  return { w: made.info.width, h: made.info.height, channels: made.info.channels, data: made.data.toString('base64') };
};

const luma = ({ data, info }, i) =>
  info.channels < 3 ? data[i * info.channels] : 0.299 * data[i * info.channels] + 0.587 * data[i * info.channels + 1] + 0.114 * data[i * info.channels + 2];

const psnr = (a, b) => {
  const n = a.info.width * a.info.height;
  let sum = 0;
  for (let i = 0; i < n; i++) sum += (luma(a, i) - luma(b, i)) ** 2;
  return Math.min(99, 10 * Math.log10((255 * 255 * n) / sum));
};

for (const { original, view } of options) {
  try {
    const { width, height } = await sharp(view).metadata();
    const resized = () => sharp(original, { limitInputPixels: 3e8 }).rotate().resize(width, height, { fit: 'fill' });
    const theirs = await resized().webp({ quality: 80, effort: 4 }).toBuffer();
    const [a, b, c] = [await pixels(resized()), await pixels(sharp(view)), await pixels(sharp(theirs))];
    console.log(JSON.stringify({ bytes: theirs.length, psnr: [psnr(a, b), psnr(a, c)], small: [await small(a), await small(b), await small(c)] }));
  } catch (err) {
    console.log(JSON.stringify({ error: String(err.message).split('\n')[0] }));
  }
}
