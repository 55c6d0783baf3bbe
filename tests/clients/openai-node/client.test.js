// Talks to a running flint serve (FLINT_URL, FLINT_KEY, model "tiny") with the official client, unmodified.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.env.FLINT_URL}v1`, apiKey: process.env.FLINT_KEY, maxRetries: 0 });
const model = "tiny";
const messages = [
  { role: "system", content: "hello" },
  { role: "user", content: [{ type: "text", text: "the hello" }] },
];
const drawn = { model, messages, seed: 7, max_completion_tokens: 24 };

test("a chat answer", async () => {
  const answer = await client.chat.completions.create(drawn);
  assert.equal(answer.object, "chat.completion");
  assert.equal(answer.choices[0].message.role, "assistant");
  assert.equal(typeof answer.choices[0].message.content, "string");
  assert.ok(["stop", "length"].includes(answer.choices[0].finish_reason));
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  assert.ok(answer.usage.completion_tokens <= 24);
});

test("a chat stream says the same, and its usage at the end", async () => {
  const whole = await client.chat.completions.create(drawn);
  const stream = await client.chat.completions.create({ ...drawn, stream: true, stream_options: { include_usage: true } });
  let text = "";
  let finish = null;
  let usage = null;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    finish = chunk.choices[0]?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(finish, whole.choices[0].finish_reason);
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
});

test("the client's own stream helper puts a message together", async () => {
  const final = await client.chat.completions.stream({ ...drawn }).finalChatCompletion();
  const whole = await client.chat.completions.create(drawn);
  assert.equal(final.choices[0].message.content, whole.choices[0].message.content);
});

test("log-probabilities", async () => {
  const answer = await client.chat.completions.create({ ...drawn, logprobs: true, top_logprobs: 3 });
  const scores = answer.choices[0].logprobs.content;
  assert.ok(scores.length > 0);
  for (const score of scores) {
    assert.ok(score.logprob <= 0);
    assert.equal(score.top_logprobs.length, 3);
    assert.ok(Array.isArray(score.bytes));
  }
});

test("several choices", async () => {
  const answer = await client.chat.completions.create({ ...drawn, n: 3 });
  assert.deepEqual(answer.choices.map((c) => c.index), [0, 1, 2]);
});

test("contemplating is a stream of ordinary reasoning and content", async () => {
  const asked = { ...drawn, model: `${model}:contemplating`, max_completion_tokens: 300 };
  const whole = await client.chat.completions.create(asked);
  let text = "";
  let reasoning = "";
  let finish = null;
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
    assert.deepEqual(Object.keys(chunk), ["id", "object", "created", "model", "system_fingerprint", "choices"]);
    text += chunk.choices[0].delta.content ?? "";
    reasoning += chunk.choices[0].delta.reasoning_content ?? "";
    finish = chunk.choices[0].finish_reason ?? finish;
  }
  assert.deepEqual([text, reasoning, finish], [whole.choices[0].message.content, whole.choices[0].message.reasoning_content, whole.choices[0].finish_reason]);
  assert.ok(reasoning.startsWith("[1] "));
  const final = await client.chat.completions.stream(asked).finalChatCompletion();
  assert.equal(final.choices[0].message.content, text);
});

test("a response may contemplate too", async () => {
  const asked = { model: `${model}:contemplating`, input: "the hello", max_output_tokens: 300, store: false };
  const stream = client.responses.stream(asked);
  const types = new Set();
  for await (const event of stream) types.add(event.type);
  const final = await stream.finalResponse();
  assert.ok(types.has("response.reasoning_text.delta"));
  assert.ok(![...types].some((type) => type.includes("contemplation")));
  assert.ok(final.output.some((item) => item.type === "reasoning"));
});

test("plain completions", async () => {
  const answer = await client.completions.create({ model, prompt: "hello", max_tokens: 0, echo: true, logprobs: 2 });
  assert.equal(answer.choices[0].text, "hello");
  assert.equal(answer.choices[0].logprobs.token_logprobs[0], null);
});

test("embeddings", async () => {
  const two = await client.embeddings.create({ model, input: ["hello", "the hello"] });
  assert.deepEqual(two.data.map((one) => one.index), [0, 1]);
  for (const { embedding } of two.data) assert.ok(Math.abs(embedding.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-6);
  const told = await client.embeddings.create({ model, input: "hello", encoding_format: "float" });
  assert.deepEqual(told.data[0].embedding.map(Math.fround), Array.from(two.data[0].embedding));
  assert.equal(told.usage.total_tokens, told.usage.prompt_tokens);
});

test("models", async () => {
  const ids = [];
  for await (const one of client.models.list()) ids.push(one.id);
  assert.deepEqual(ids, [model]);
  assert.equal((await client.models.retrieve(model)).object, "model");
});

test("errors are the client's own kinds", async () => {
  await assert.rejects(client.chat.completions.create({ ...drawn, temperature: 9 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "temperature");
    return true;
  });
  await assert.rejects(client.chat.completions.create({ ...drawn, model: "none" }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, "model_not_found");
    return true;
  });
  await assert.rejects(client.chat.completions.create({ ...drawn, messages: [{ role: "user", content: "hello ".repeat(2000) }] }), (error) => {
    assert.equal(error.code, "context_length_exceeded");
    return true;
  });
  const stranger = new OpenAI({ baseURL: client.baseURL, apiKey: "sk-flint-wrong", maxRetries: 0 });
  await assert.rejects(stranger.models.list(), (error) => {
    assert.ok(error instanceof OpenAI.AuthenticationError);
    assert.equal(error.code, "invalid_api_key");
    return true;
  });
});

test("leaving a stream early", async () => {
  const stream = await client.chat.completions.create({ ...drawn, stream: true });
  for await (const chunk of stream) {
    assert.equal(chunk.object, "chat.completion.chunk");
    break;
  }
});

const input = [{ role: "user", content: "the hello" }];
const asked = { model, input, seed: 7, max_output_tokens: 24 };

test("a response, what it was asked with, and one that goes on from it", async () => {
  const first = await client.responses.create(asked);
  assert.equal(first.object, "response");
  assert.ok(["completed", "incomplete"].includes(first.status));
  assert.equal(typeof first.output_text, "string");
  assert.equal(first.usage.total_tokens, first.usage.input_tokens + first.usage.output_tokens);
  const second = await client.responses.create({ ...asked, input: "more", previous_response_id: first.id });
  assert.equal(second.previous_response_id, first.id);
  assert.ok(second.usage.input_tokens > first.usage.input_tokens);
  assert.equal((await client.responses.retrieve(first.id)).output_text, first.output_text);
  const items = [];
  for await (const item of client.responses.inputItems.list(first.id)) items.push(item.content[0].text);
  assert.deepEqual(items, ["the hello"]);
  await client.responses.delete(first.id);
  await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
});

test("a stream of a response says the same, and the client's own helper puts it together", async () => {
  const whole = await client.responses.create(asked);
  let text = "";
  let next = 0;
  for await (const event of await client.responses.create({ ...asked, stream: true })) {
    assert.equal(event.sequence_number, next++);
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  assert.equal(text, whole.output_text);
  const final = await client.responses.stream(asked).finalResponse();
  const messages = final.output.filter((item) => item.type === "message");
  assert.equal(messages.flatMap((item) => item.content).map((part) => part.text).join(""), whole.output_text);
});

test("a response in the background is cancelled", async () => {
  const started = await client.responses.create({ ...asked, background: true });
  assert.ok(["queued", "in_progress"].includes(started.status));
  const ended = await client.responses.cancel(started.id);
  assert.ok(["cancelled", "completed", "incomplete"].includes(ended.status));
});
