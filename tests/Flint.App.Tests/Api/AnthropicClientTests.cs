using System.Text;
using System.Text.Json;
using Anthropic;
using Anthropic.Exceptions;
using Anthropic.Models.Messages;
using Anthropic.Models.Models;

namespace Flint.App.Tests.Api;

/// <summary>The official .NET client of the Anthropic API, unmodified and checking every answer's shape, against the real server.</summary>
public sealed class AnthropicClientTests
{
    private static readonly string[] Thoughtful = ["Let\u2581me\u2581see.", "</think>", "Hello", "\u2581there", "<|im_end|>"];

    private static readonly string[] Calling = ["Wait.", "<tool_call>", "{\"name\":\u2581\"get_weather\",\u2581", "\"arguments\":\u2581{\"city\":\u2581\"Paris\"}}", "</tool_call>", "<|im_end|>"];

    private static readonly Tool Weather = new()
    {
        Name = "get_weather",
        Description = "Weather.",
        InputSchema = new InputSchema { Properties = new Dictionary<string, JsonElement> { ["city"] = JsonSerializer.SerializeToElement(new { type = "string" }) } },
    };

    [Fact]
    public async Task A_message_whole_and_streamed()
    {
        await using TestServer server = await TestServer.StartAsync(write: path => ScriptedModel.Write(path, ScriptedModel.ChatMl, '\n', "Hello", "\u2581there", "<|im_end|>"));
        AnthropicClient client = NewClient(server, server.Secret);
        Message whole = await client.Messages.Create(Ask());
        Assert.Equal("Hello there", Assert.IsType<TextBlock>(Assert.Single(whole.Content).Value).Text);
        Assert.Equal(("end_turn", 3), (whole.StopReason!.Raw(), whole.Usage.OutputTokens));
        Assert.Equal(whole.ID, server.Records()[0].RequestId);
        var text = new StringBuilder();
        string? stop = null;
        await foreach (RawMessageStreamEvent next in client.Messages.CreateStreaming(Ask()))
        {
            if (next.Value is RawContentBlockDeltaEvent { Delta.Value: TextDelta delta })
                text.Append(delta.Text);
            if (next.Value is RawMessageDeltaEvent end)
                stop = end.Delta.StopReason!.Raw();
        }

        Assert.Equal(("Hello there", "end_turn"), (text.ToString(), stop));
    }

    [Fact]
    public async Task Thinking()
    {
        await using TestServer server = await TestServer.StartAsync(write: path => ScriptedModel.Write(path, ScriptedModel.ChatMl, '\n', Thoughtful));
        AnthropicClient client = NewClient(server, server.Secret);
        MessageCreateParams ask = Ask() with { MaxTokens = 2000, Thinking = new ThinkingConfigEnabled(1024) };
        Message whole = await client.Messages.Create(ask);
        Assert.Equal(2, whole.Content.Count);
        ThinkingBlock thoughts = Assert.IsType<ThinkingBlock>(whole.Content[0].Value);
        Assert.Equal("Let me see.", thoughts.Thinking);
        Assert.Equal("Hello there", Assert.IsType<TextBlock>(whole.Content[1].Value).Text);
        Assert.Equal(1, whole.Usage.OutputTokensDetails!.ThinkingTokens);
        var thinking = new StringBuilder();
        string? signature = null;
        await foreach (RawMessageStreamEvent next in client.Messages.CreateStreaming(ask))
        {
            if (next.Value is RawContentBlockDeltaEvent { Delta.Value: ThinkingDelta delta })
                thinking.Append(delta.Thinking);
            if (next.Value is RawContentBlockDeltaEvent { Delta.Value: SignatureDelta signed })
                signature = signed.Signature;
        }

        Assert.Equal((thoughts.Thinking, thoughts.Signature), (thinking.ToString(), signature));
        Assert.NotEmpty(thoughts.Signature);
    }

    [Fact]
    public async Task Tools()
    {
        await using TestServer server = await TestServer.StartAsync(write: path => ScriptedModel.Write(path, ScriptedModel.ChatMl, '\n', Calling));
        AnthropicClient client = NewClient(server, server.Secret);
        MessageCreateParams ask = Ask() with { Tools = [Weather] };
        Message whole = await client.Messages.Create(ask);
        Assert.Equal("tool_use", whole.StopReason!.Raw());
        ToolUseBlock call = Assert.IsType<ToolUseBlock>(whole.Content[^1].Value);
        Assert.Equal(("get_weather", "Paris"), (call.Name, call.Input["city"].GetString()));

        // The call and its result go back.
        List<ContentBlockParam> made = [new ToolUseBlockParam { ID = call.ID, Name = call.Name, Input = call.Input }];
        List<ContentBlockParam> results = [new ToolResultBlockParam(call.ID) { Content = "rain" }];
        Message second = await client.Messages.Create(ask with { Messages = [new UserMessageParam("hi"), new AssistantMessageParam(made), new UserMessageParam(results)] });
        Assert.IsType<ToolUseBlock>(second.Content[^1].Value);

        var arguments = new StringBuilder();
        await foreach (RawMessageStreamEvent next in client.Messages.CreateStreaming(ask))
        {
            if (next.Value is RawContentBlockDeltaEvent { Delta.Value: InputJsonDelta delta })
                arguments.Append(delta.PartialJson);
        }

        Assert.Equal("Paris", JsonDocument.Parse(arguments.ToString()).RootElement.GetProperty("city").GetString());
    }

    [Fact]
    public async Task Tokens_are_counted_and_models_listed()
    {
        await using TestServer server = await TestServer.StartAsync();
        AnthropicClient client = NewClient(server, server.Secret);
        MessageTokensCount count = await client.Messages.CountTokens(new MessageCountTokensParams { Model = "tiny", Messages = [new UserMessageParam("hi")] });
        Message message = await client.Messages.Create(Ask());
        Assert.Equal(message.Usage.InputTokens + message.Usage.CacheReadInputTokens, count.InputTokens);
        Assert.Equal("tiny", Assert.Single((await client.Models.List()).Items).ID);
        ModelInfo model = await client.Models.Retrieve("tiny");
        Assert.Equal(("tiny", (long?)TinyModel.Context), (model.DisplayName, model.MaxInputTokens));
    }

    [Fact]
    public async Task Errors_are_the_clients_own_kinds()
    {
        await using TestServer server = await TestServer.StartAsync();
        AnthropicClient client = NewClient(server, server.Secret);
        await Assert.ThrowsAsync<AnthropicUnauthorizedException>(() => NewClient(server, "sk-flint-wrong").Messages.Create(Ask()));
        await Assert.ThrowsAsync<AnthropicNotFoundException>(() => client.Messages.Create(Ask() with { Model = "none" }));
        AnthropicBadRequestException refused = await Assert.ThrowsAsync<AnthropicBadRequestException>(() => client.Messages.Create(Ask() with { MaxTokens = 0 }));
        Assert.Equal(server.Records()[0].RequestId, refused.RequestID);
        Assert.Contains("max_tokens", refused.ApiMessage, StringComparison.Ordinal);
        await Assert.ThrowsAsync<AnthropicBadRequestException>(() => client.Messages.Create(Ask() with { Messages = [new UserMessageParam(new string('x', 5000))] }));
    }

    private static MessageCreateParams Ask() => new() { Model = "tiny", MaxTokens = 24, Messages = [new UserMessageParam("hi")] };

    private static AnthropicClient NewClient(TestServer server, string key) =>
        new() { ApiKey = key, BaseUrl = server.Address.ToString().TrimEnd('/'), MaxRetries = 0, ResponseValidation = true };
}
