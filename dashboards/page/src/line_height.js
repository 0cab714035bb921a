// ECharts takes the width of a Chinese character for the height of a line. Without a font that has it, the result is too
// small, and labels of axes overlap.
import { setPlatformAPI } from 'echarts/core';

const context = document.createElement('canvas').getContext('2d');

setPlatformAPI({
  measureText(text, font = '12px sans-serif') {
    if (text === '国') return { width: Number(/([\d.]+)px/.exec(font)?.[1] ?? 12) };
    context.font = font;
    return context.measureText(text);
  },
});
