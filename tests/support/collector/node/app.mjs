// The example application of the demo for Node: each job streams an answer of Claude in one way and prints one line.
// OpenTelemetry's SDK for Node is configured by environment variables. There is no other telemetry code.
import Anthropic from '@anthropic-ai/sdk';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { text as readAll } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

const PATIENCE = 1500; // milliseconds until the user of `cancelled` leaves

const request = (job) => ({
  model: job.model,
  max_tokens: 1024,
  messages: [{ role: 'user', content: job.prompt }],
});

const clientOf = (job) =>
  new Anthropic({
    apiKey: 'none',
    baseURL: job.base_url,
    maxRetries: job.max_retries ?? 2,
    timeout: (job.read_timeout ?? 30) * 1000,
  });

// Read the text until a limit of characters.
async function chat(client, job, limit = Infinity) {
  let answer = '';
  for await (const event of client.messages.stream(request(job))) {
    if (event.type === 'content_block_delta') answer += event.delta.text ?? '';
    if (answer.length > limit) break;
  }
  return answer;
}

const styles = {
  chat,
  async_chat: chat,
  first_sentence: (client, job) => chat(client, job, 40),
  async events(client, job) {
    let count = 0;
    for await (const _ of await client.messages.create({ ...request(job), stream: true })) count += 1;
    return `${count} events`;
  },
  async final_message(client, job) {
    return `${(await client.messages.stream(request(job)).finalMessage()).content.length} blocks`;
  },
  async buggy(client, job) {
    let count = 0;
    for await (const _ of client.messages.stream(request(job))) if ((count += 1) === 14) throw new TypeError('a bug');
  },
  async careless(client, job) {
    const events = (await client.messages.create({ ...request(job), stream: true }))[Symbol.asyncIterator]();
    for (let count = 0; count < 12; count += 1) await events.next();
    return 'dropped';
  },
  async cancelled(client, job) {
    const stream = client.messages.stream(request(job));
    setTimeout(() => stream.abort(), PATIENCE);
    for await (const _ of stream);
  },
};

async function work(job) {
  await sleep(job.after * 1000);
  try {
    console.log(`${job.name}: ${String(await styles[job.style](clientOf(job), job)).slice(0, 60)}`);
  } catch (error) {
    console.log(`${job.name}: ${error.constructor.name}`);
  }
}

const telemetry = new NodeSDK();
telemetry.start();
await Promise.all(JSON.parse(await readAll(process.stdin)).map(work));
await telemetry.shutdown();
