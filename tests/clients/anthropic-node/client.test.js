// Talks to a running flint serve (FLINT_URL, FLINT_KEY, model "tiny") with the official client, unmodified.
import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: process.env.FLINT_URL.replace(/\/$/, ""), apiKey: process.env.FLINT_KEY, maxRetries: 0 });
const model = "tiny";
const messages = [{ role: "user", content: [{ type: "text", text: "the hello" }] }];
const drawn = { model, messages, system: "hello", seed: 7, max_tokens: 24 };
const tools = [{ name: "f", description: "d", input_schema: { type: "object", properties: { n: { type: "integer" } } } }];

const textOf = (message) => message.content.map((block) => (block.type === "text" ? block.text : "")).join("");

test("a message", async () => {
  const message = await client.messages.create(drawn);
  assert.match(message.id, /^msg_/);
  assert.equal(message.type, "message");
  assert.equal(message.role, "assistant");
  assert.equal(message.model, model);
  assert.ok(["end_turn", "max_tokens"].includes(message.stop_reason));
  assert.ok(message.usage.output_tokens <= 24 && message.usage.input_tokens > 0);
  assert.equal(message._request_id, message.id);
});

test("a stream says the same, and its usage at the end", async () => {
  const whole = await client.messages.create(drawn);
  const stream = await client.messages.create({ ...drawn, stream: true });
  let text = "";
  let stop = null;
  let usage = null;
  for await (const event of stream) {
    if (event.type === "content_block_delta") text += event.delta.text;
    if (event.type === "message_delta") {
      stop = event.delta.stop_reason;
      usage = event.usage;
    }
  }
  assert.equal(text, textOf(whole));
  assert.equal(stop, whole.stop_reason);
  assert.equal(usage.output_tokens, whole.usage.output_tokens);
});

test("the client's own stream helper puts a message together", async () => {
  const final = await client.messages.stream(drawn).finalMessage();
  const whole = await client.messages.create(drawn);
  assert.equal(textOf(final), textOf(whole));
  assert.equal(final.stop_reason, whole.stop_reason);
});

test("tools and their results go in", async () => {
  const message = await client.messages.create({
    ...drawn,
    tools,
    tool_choice: { type: "auto", disable_parallel_tool_use: true },
    messages: [
      ...messages,
      { role: "assistant", content: [{ type: "tool_use", id: "toolu_1", name: "f", input: { n: 4 } }] },
      { role: "user", content: [{ type: "tool_result", tool_use_id: "toolu_1", content: "5" }] },
    ],
  });
  assert.equal(message.role, "assistant");
});

test("tokens are counted as they are used", async () => {
  const { input_tokens } = await client.messages.countTokens({ model, messages, system: "hello" });
  const fresh = await client.messages.create({ ...drawn, max_tokens: 1 });
  assert.equal(input_tokens, fresh.usage.input_tokens + fresh.usage.cache_read_input_tokens);
});

test("models", async () => {
  const ids = [];
  for await (const one of client.models.list()) ids.push(one.id);
  assert.deepEqual(ids, [model]);
  const one = await client.models.retrieve(model);
  assert.equal(one.type, "model");
  assert.ok(!Number.isNaN(Date.parse(one.created_at)));
});

test("errors are the client's own kinds", async () => {
  await assert.rejects(client.messages.create({ ...drawn, temperature: 9 }), (error) => {
    assert.ok(error instanceof Anthropic.BadRequestError);
    assert.equal(error.error.error.type, "invalid_request_error");
    assert.match(error.message, /temperature/);
    assert.match(error.requestID, /^msg_/);
    return true;
  });
  await assert.rejects(client.messages.create({ ...drawn, model: "none" }), Anthropic.NotFoundError);
  await assert.rejects(client.messages.create({ ...drawn, messages: [{ role: "user", content: "hello ".repeat(2000) }] }), Anthropic.BadRequestError);
  const stranger = new Anthropic({ baseURL: client.baseURL, apiKey: "sk-flint-wrong", maxRetries: 0 });
  await assert.rejects(stranger.models.list(), (error) => {
    assert.ok(error instanceof Anthropic.AuthenticationError);
    assert.equal(error.error.error.type, "authentication_error");
    return true;
  });
});

test("leaving a stream early", async () => {
  const stream = await client.messages.create({ ...drawn, stream: true });
  for await (const event of stream) {
    assert.equal(event.type, "message_start");
    break;
  }
});
