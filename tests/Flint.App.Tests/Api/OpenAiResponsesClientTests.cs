using System.ClientModel;
using System.ClientModel.Primitives;
using OpenAI.Responses;

namespace Flint.App.Tests.Api;

#pragma warning disable OPENAI001 // the client marks this API as experimental

/// <summary>The official .NET client of the Responses API, unmodified, against the real server.</summary>
public sealed class OpenAiResponsesClientTests
{
    private static readonly string[] Thoughtful = ["<think>", "Hm.", "</think>", "Hello", "\u2581there", "<|im_end|>"];

    [Fact]
    public async Task Responses_and_what_goes_on_from_them()
    {
        await using TestServer server = await ResponsesTests.StartAsync(Thoughtful);
        ResponsesClient client = NewClient(server, server.Secret);
        ResponseResult first = await client.CreateResponseAsync(Ask("hi"));
        Assert.Equal(ResponseStatus.Completed, first.Status);
        Assert.Equal("Hello there", first.GetOutputText());
        Assert.IsType<ReasoningResponseItem>(first.OutputItems[0]);
        Assert.Equal((server.Records()[0].OutputTokens, 1L), ((long)first.Usage.OutputTokenCount, (long)first.Usage.OutputTokenDetails.ReasoningTokenCount));
        CreateResponseOptions more = Ask("more");
        more.PreviousResponseId = first.Id;
        ResponseResult second = await client.CreateResponseAsync(more);
        Assert.Equal(first.Id, second.PreviousResponseId);
        Assert.True(second.Usage.InputTokenCount > first.Usage.InputTokenCount);
        ResponseResult again = await client.GetResponseAsync(second.Id);
        Assert.Equal(second.GetOutputText(), again.GetOutputText());
    }

    [Fact]
    public async Task A_stream()
    {
        await using TestServer server = await ResponsesTests.StartAsync(Thoughtful);
        CreateResponseOptions options = Ask("hi");
        options.StreamingEnabled = true;
        string text = "";
        ResponseResult? end = null;
        int next = 0;
        await foreach (StreamingResponseUpdate update in await NewClient(server, server.Secret).CreateResponseStreamingAsync(options))
        {
            Assert.Equal(next++, update.SequenceNumber);
            if (update is StreamingResponseOutputTextDeltaUpdate delta)
                text += delta.Delta;
            end = (update as StreamingResponseCompletedUpdate)?.Response ?? end;
        }

        Assert.Equal(("Hello there", "Hello there"), (text, end!.GetOutputText()));
    }

    [Fact]
    public async Task A_function_is_called()
    {
        await using TestServer server = await ResponsesTests.StartAsync(
            "<tool_call>", "{\"name\":\u2581\"get_weather\",\u2581\"arguments\":\u2581{\"city\":\u2581\"Paris\"}}", "</tool_call>", "<|im_end|>");
        ResponsesClient client = NewClient(server, server.Secret);
        CreateResponseOptions options = Ask("hi");
        options.Tools.Add(ResponseTool.CreateFunctionTool("get_weather", BinaryData.FromString("""{"type": "object", "properties": {"city": {"type": "string"}}}"""), null, "d"));
        ResponseResult answer = await client.CreateResponseAsync(options);
        FunctionCallResponseItem call = Assert.IsType<FunctionCallResponseItem>(Assert.Single(answer.OutputItems));
        Assert.Equal("get_weather", call.FunctionName);
        Assert.Contains("Paris", call.FunctionArguments.ToString(), StringComparison.Ordinal);
        CreateResponseOptions result = new() { Model = "tiny", PreviousResponseId = answer.Id };
        result.InputItems.Add(ResponseItem.CreateFunctionCallOutputItem(call.CallId, "rain"));
        ResponseResult next = await client.CreateResponseAsync(result);
        Assert.Equal(answer.Id, next.PreviousResponseId);
    }

    [Fact]
    public async Task Errors()
    {
        await using TestServer server = await ResponsesTests.StartAsync(Thoughtful);
        async Task RefusedAsync(int status, ResponsesClient client, CreateResponseOptions options, string code)
        {
            ClientResultException refused = await Assert.ThrowsAsync<ClientResultException>(() => client.CreateResponseAsync(options));
            Assert.Equal(status, refused.Status);
            Assert.Contains(code, refused.Message, StringComparison.Ordinal);
        }

        CreateResponseOptions unknown = Ask("hi");
        unknown.PreviousResponseId = "resp_none";
        await RefusedAsync(404, NewClient(server, server.Secret), unknown, "previous_response_not_found");
        await RefusedAsync(401, NewClient(server, "sk-flint-wrong"), Ask("hi"), "invalid_api_key");
    }

    private static CreateResponseOptions Ask(string text)
    {
        var options = new CreateResponseOptions { Model = "tiny" };
        options.InputItems.Add(ResponseItem.CreateUserMessageItem(text));
        return options;
    }

    private static ResponsesClient NewClient(TestServer server, string key) => new(new ApiKeyCredential(key), new ResponsesClientOptions
    {
        Endpoint = new Uri(server.Address, "v1"),
        RetryPolicy = new ClientRetryPolicy(0),
    });
}
