// Talks to a running flint serve (FLINT_URL, FLINT_KEY, model "tiny") with the official client, unmodified.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Ollama } from "ollama";

const host = process.env.FLINT_URL.replace(/\/$/, "");
const client = new Ollama({ host, headers: { Authorization: `Bearer ${process.env.FLINT_KEY}` } });
const model = "tiny";
const messages = [{ role: "system", content: "hello" }, { role: "user", content: "the hello" }];
const options = { seed: 7, num_predict: 24 };

test("a chat answer", async () => {
  const answer = await client.chat({ model, messages, options });
  assert.equal(answer.message.role, "assistant");
  assert.equal(answer.done, true);
  assert.ok(["stop", "length"].includes(answer.done_reason));
  assert.ok(answer.eval_count <= 24 && answer.prompt_eval_count > 0);
  assert.ok(answer.total_duration >= answer.eval_duration);
});

test("a chat stream says the same", async () => {
  const whole = await client.chat({ model, messages, options });
  let text = "";
  let last = null;
  for await (const part of await client.chat({ model, messages, options, stream: true })) {
    assert.equal(last?.done ?? false, false);
    text += part.message.content;
    last = part;
  }
  assert.equal(text, whole.message.content);
  assert.equal(last.done_reason, whole.done_reason);
  assert.equal(last.eval_count, whole.eval_count);
});

test("a prompt, whole and streamed", async () => {
  const whole = await client.generate({ model: "tiny:latest", prompt: "hello", system: "the", options });
  let text = "";
  for await (const part of await client.generate({ model, prompt: "hello", system: "the", options, stream: true })) text += part.response;
  assert.equal(text, whole.response);
  const raw = await client.generate({ model, prompt: "hello", raw: true, options });
  assert.ok(raw.prompt_eval_count < whole.prompt_eval_count);
});

test("tools and their results go in", async () => {
  const answer = await client.chat({
    model,
    options,
    tools: [{ type: "function", function: { name: "f", description: "d", parameters: { type: "object", properties: { n: { type: "integer" } } } } }],
    messages: [
      ...messages,
      { role: "assistant", content: "", tool_calls: [{ function: { name: "f", arguments: { n: 4 } } }] },
      { role: "tool", tool_name: "f", content: "5" },
    ],
  });
  assert.equal(answer.message.role, "assistant");
});

test("models", async () => {
  const { models } = await client.list();
  assert.deepEqual(models.map((one) => one.name), ["tiny:latest"]);
  assert.equal((await client.ps()).models[0].name, "tiny:latest");
  const shown = await client.show({ model });
  assert.equal(shown.details.family, "llama");
  assert.ok(shown.capabilities.includes("completion"));
  assert.match((await client.version()).version, /^\d+\.\d+\.\d+$/);
});

test("an answer keeps to a schema", async () => {
  const format = { type: "object", properties: { a: { type: "boolean" } }, required: ["a"], additionalProperties: false };
  const answer = await client.chat({ model, messages, format, options: { ...options, num_predict: 200 } });
  assert.equal(typeof JSON.parse(answer.message.content).a, "boolean");
});

test("errors have their sentence", async () => {
  await assert.rejects(client.chat({ model: "none", messages }), (error) => {
    assert.equal(error.status_code, 404);
    assert.match(error.message, /none/);
    return true;
  });
  await assert.rejects(client.chat({ model, messages, format: "xml" }), /format/);
  await assert.rejects(new Ollama({ host }).list(), (error) => {
    assert.equal(error.status_code, 401);
    return true;
  });
});

test("leaving a stream early", async () => {
  const stream = await client.chat({ model, messages, options, stream: true });
  for await (const part of stream) {
    assert.equal(part.done, false);
    stream.abort();
    break;
  }
});
