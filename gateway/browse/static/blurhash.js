// A decoder of blurhash (https://blurha.sh): the blurred likeness of a photo that
// is shown until its thumbnail is there.

const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";

const number = (s) => [...s].reduce((n, c) => n * 83 + digits.indexOf(c), 0);
const linear = (v) => (v /= 255, v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
const srgb = (v) => {
  v = Math.min(1, Math.max(0, v));
  return Math.round(255 * (v <= 0.0031308 ? v * 12.92 : 1.055 * v ** (1 / 2.4) - 0.055));
};

// blurhash is the picture that hash describes as a data: address, "" if it is not one.
export function blurhash(hash, width = 24, height = 18) {
  const size = number(hash[0] || "0");
  const across = size % 9 + 1, down = Math.floor(size / 9) + 1;
  if (hash.length !== 4 + 2 * across * down) return "";
  const most = (number(hash[1]) + 1) / 166;
  const terms = [];
  for (let i = 0; i < across * down; i++) {
    if (i === 0) {
      const n = number(hash.slice(2, 6));
      terms.push([linear(n >> 16), linear(n >> 8 & 255), linear(n & 255)]);
      continue;
    }
    const n = number(hash.slice(4 + 2 * i, 6 + 2 * i));
    terms.push([Math.floor(n / 361), Math.floor(n / 19) % 19, n % 19].map((v) => {
      v = (v - 9) / 9;
      return Math.sign(v) * v * v * most;
    }));
  }
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const ctx = canvas.getContext("2d");
  const image = ctx.createImageData(width, height);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 4) {
      const c = [0, 0, 0];
      for (let j = 0; j < down; j++) {
        const b = Math.cos(Math.PI * j * y / height);
        for (let i = 0; i < across; i++) {
          const basis = Math.cos(Math.PI * i * x / width) * b;
          const term = terms[j * across + i];
          for (let k = 0; k < 3; k++) c[k] += term[k] * basis;
        }
      }
      for (let k = 0; k < 3; k++) image.data[at + k] = srgb(c[k]);
      image.data[at + 3] = 255;
    }
  }
  ctx.putImageData(image, 0, 0);
  return canvas.toDataURL();
}
