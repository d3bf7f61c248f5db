// sharp's part of versus: for each file the variants, one processor, no cache. Prints
// the milliseconds of processor time that each file took.
import fs from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';

const options = JSON.parse(process.argv.at(-1));
sharp.concurrency(1);
sharp.cache(false);
const input = { sequentialRead: true, limitInputPixels: 3e8 };
const [first, ...others] = options.recipes;

const fit = (image, r) =>
  image.resize(r.MaxWidth, r.MaxHeight || null, { fit: 'inside', withoutEnlargement: true });
const profile = (image) => (options.icc ? image.keepIccProfile() : image);
const encode = (image) => image.webp({ quality: options.quality, effort: options.effort }).toBuffer();

async function variants(file) {
  if (options.mode === 'two') {
    const all = [];
    for (const r of options.recipes) all.push(await encode(profile(fit(sharp(file, input).rotate(), r))));
    return all;
  }
  const { data, info } = await profile(fit(sharp(file, input).rotate(), first)).raw().toBuffer({ resolveWithObject: true });
  const pixels = () => sharp(data, { raw: { width: info.width, height: info.height, channels: info.channels } });
  return Promise.all([encode(pixels()), ...others.map((r) => encode(fit(pixels(), r)))]);
}

for (const file of options.files) {
  const start = process.cpuUsage();
  const made = await variants(fs.readFileSync(file));
  const used = process.cpuUsage(start);
  made.forEach((data, i) =>
    fs.writeFileSync(path.join(options.keep, `${path.basename(file)}.${options.recipes[i].Variant}`), data));
  console.log(Math.round((used.user + used.system) / 1000));
}
