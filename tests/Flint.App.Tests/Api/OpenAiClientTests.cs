using System.ClientModel;
using System.ClientModel.Primitives;
using OpenAI;
using OpenAI.Chat;
using OpenAI.Embeddings;
using OpenAI.Models;

namespace Flint.App.Tests.Api;

/// <summary>The official .NET client, unmodified, against the real server.</summary>
public sealed class OpenAiClientTests : IAsyncLifetime
{
    private TestServer _server = null!;
    private OpenAIClient _client = null!;
    private ChatClient _chat = null!;

    private static readonly ChatMessage[] Messages = [new SystemChatMessage("hello"), new UserChatMessage("the hello")];

    public async ValueTask InitializeAsync()
    {
        _server = await TestServer.StartAsync();
        _client = NewClient(_server.Secret);
        _chat = _client.GetChatClient("tiny");
    }

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Fact]
    public async Task Chat()
    {
        ChatCompletion answer = await _chat.CompleteChatAsync(Messages, Options());
        Assert.StartsWith("chatcmpl-", answer.Id, StringComparison.Ordinal);
        Assert.Equal("tiny", answer.Model);
        Assert.Equal(ChatMessageRole.Assistant, answer.Role);
        Assert.Contains(answer.FinishReason, (ChatFinishReason[])[ChatFinishReason.Stop, ChatFinishReason.Length]);
        Assert.Equal(answer.Usage.TotalTokenCount, answer.Usage.InputTokenCount + answer.Usage.OutputTokenCount);
        Assert.InRange(answer.Usage.OutputTokenCount, 1, 24);
        Assert.Equal(answer.Id, _server.Records()[0].RequestId);
        Assert.Equal(answer.Usage.OutputTokenCount, _server.Records()[0].OutputTokens);
    }

    [Fact]
    public async Task Streaming_says_the_same()
    {
        ChatCompletion whole = await _chat.CompleteChatAsync(Messages, Options());
        string text = "";
        ChatFinishReason? finish = null;
        ChatTokenUsage? usage = null;
        await foreach (StreamingChatCompletionUpdate update in _chat.CompleteChatStreamingAsync(Messages, Options()))
        {
            text += string.Concat(update.ContentUpdate.Select(part => part.Text));
            finish = update.FinishReason ?? finish;
            usage = update.Usage ?? usage;
        }

        Assert.Equal(string.Concat(whole.Content.Select(part => part.Text)), text);
        Assert.Equal(whole.FinishReason, finish);
        Assert.Equal(whole.Usage.OutputTokenCount, usage!.OutputTokenCount);
    }

    [Fact]
    public async Task Contemplating_is_an_ordinary_answer()
    {
        ChatClient chat = _client.GetChatClient("tiny:contemplating");
        ChatCompletionOptions options = Options();
        options.MaxOutputTokenCount = 300;
        ChatCompletion whole = await chat.CompleteChatAsync(Messages, options);
        Assert.Equal("tiny", whole.Model);
        Assert.InRange(whole.Usage.OutputTokenCount, 1, 300);
        Assert.InRange(whole.Usage.OutputTokenDetails.ReasoningTokenCount, 1, whole.Usage.OutputTokenCount);
        Assert.Equal(whole.Usage.OutputTokenCount, _server.Records()[0].OutputTokens);
        string text = "";
        ChatFinishReason? finish = null;
        await foreach (StreamingChatCompletionUpdate update in chat.CompleteChatStreamingAsync(Messages, options))
        {
            text += string.Concat(update.ContentUpdate.Select(part => part.Text));
            finish = update.FinishReason ?? finish;
        }

        Assert.Equal(string.Concat(whole.Content.Select(part => part.Text)), text);
        Assert.Equal(whole.FinishReason, finish);
    }

    [Fact]
    public async Task Cached_tokens_are_told()
    {
        ChatMessage[] longer = [new UserChatMessage(string.Concat(Enumerable.Repeat("hello ", 60)))];
        await _chat.CompleteChatAsync(longer, Options());
        ChatCompletion second = await _chat.CompleteChatAsync(longer, Options());
        Assert.True(second.Usage.InputTokenDetails.CachedTokenCount >= 32);
        Assert.Equal(0, second.Usage.OutputTokenDetails.ReasoningTokenCount);
    }

    [Fact]
    public async Task Logprobs()
    {
        ChatCompletionOptions options = Options();
        options.IncludeLogProbabilities = true;
        options.TopLogProbabilityCount = 4;
        ChatCompletion answer = await _chat.CompleteChatAsync(Messages, options);
        Assert.NotEmpty(answer.ContentTokenLogProbabilities);
        Assert.All(answer.ContentTokenLogProbabilities, score =>
        {
            Assert.True(score.LogProbability <= 0);
            Assert.Equal(4, score.TopLogProbabilities.Count);
            Assert.True(score.TopLogProbabilities[0].LogProbability >= score.LogProbability);
        });
    }

    [Fact]
    public async Task Embeddings()
    {
        EmbeddingClient client = _client.GetEmbeddingClient("tiny");
        OpenAIEmbeddingCollection two = await client.GenerateEmbeddingsAsync(["hello", "the hello"]);
        Assert.Equal("tiny", two.Model);
        Assert.Equal([0, 1], two.Select(one => one.Index));
        Assert.Equal((two.Usage.InputTokenCount, two.Usage.InputTokenCount), (two.Usage.TotalTokenCount, (int)_server.Records()[0].PromptTokens));
        Assert.All(two, one => Assert.Equal(1, Length(one), 1e-6));
        Assert.Equal(TinyModel.Width, two[0].ToFloats().Length);
        OpenAIEmbedding alone = await client.GenerateEmbeddingAsync("the hello", new EmbeddingGenerationOptions { Dimensions = 5 });
        Assert.Equal(5, alone.ToFloats().Length);
        Assert.Equal(1, Length(alone), 1e-6);
        Assert.True(alone.ToFloats().Span[0] * two[1].ToFloats().Span[0] > 0);

        static double Length(OpenAIEmbedding embedding) => Math.Sqrt(embedding.ToFloats().ToArray().Sum(value => (double)value * value));
    }

    [Fact]
    public async Task Models()
    {
        OpenAIModelCollection models = await _client.GetOpenAIModelClient().GetModelsAsync();
        Assert.Equal("tiny", Assert.Single(models).Id);
        OpenAIModel model = await _client.GetOpenAIModelClient().GetModelAsync("tiny");
        Assert.Equal("tiny", model.Id);
    }

    [Fact]
    public async Task Errors()
    {
        await RefusedAsync(401, NewClient("sk-flint-wrong").GetChatClient("tiny"), Messages, "invalid_api_key");
        await RefusedAsync(404, _client.GetChatClient("none"), Messages, "model_not_found");
        await RefusedAsync(400, _chat, [new UserChatMessage(string.Concat(Enumerable.Repeat("hello ", 2000)))], "context_length_exceeded");
        await RefusedAsync(400, _chat, [new UserChatMessage(ChatMessageContentPart.CreateImagePart(new Uri("https://example.com/x.png")))], "unsupported_parameter");
    }

    private static async Task RefusedAsync(int status, ChatClient client, ChatMessage[] messages, string code)
    {
        ClientResultException refused = await Assert.ThrowsAsync<ClientResultException>(() => client.CompleteChatAsync(messages));
        Assert.Equal(status, refused.Status);
        Assert.Contains(code, refused.Message, StringComparison.Ordinal);
    }

#pragma warning disable OPENAI001 // the seed is marked experimental in the client
    private static ChatCompletionOptions Options() => new() { MaxOutputTokenCount = 24, Seed = 7 };
#pragma warning restore OPENAI001

    private OpenAIClient NewClient(string key) => new(new ApiKeyCredential(key), new OpenAIClientOptions
    {
        Endpoint = new Uri(_server.Address, "v1"),
        RetryPolicy = new ClientRetryPolicy(0),
    });
}
