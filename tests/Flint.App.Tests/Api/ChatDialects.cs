using System.Text.Json.Nodes;

namespace Flint.App.Tests.Api;

/// <summary>The chats of all APIs, asked and read alike.</summary>
internal static class ChatDialects
{
    internal const string ChatRoute = "/v1/chat/completions", ResponseRoute = "/v1/responses", MessageRoute = "/v1/messages", OllamaRoute = "/api/chat";

    internal static TheoryData<string> All => new() { ChatRoute, ResponseRoute, MessageRoute, OllamaRoute };

    /// <summary>A body that draws nothing by chance.</summary>
    /// <param name="route">The route.</param>
    /// <param name="model">The model's name.</param>
    /// <param name="fields">Further fields, each behind a comma.</param>
    /// <param name="stream">Whether the answer is a stream.</param>
    internal static string Body(string route, string model, string fields = "", bool stream = false) => $$"""{"model": "{{model}}", "stream": {{(stream ? "true" : "false")}}, """ + route switch
    {
        ResponseRoute => "\"input\": \"hi\", \"temperature\": 0",
        MessageRoute => """ "max_tokens": 200000, "messages": [{"role": "user", "content": "hi"}], "temperature": 0""",
        OllamaRoute => """ "messages": [{"role": "user", "content": "hi"}], "options": {"temperature": 0}""",
        _ => """ "messages": [{"role": "user", "content": "hi"}], "temperature": 0""",
    } + fields + "}";

    /// <summary>The field that asks for an effort.</summary>
    internal static string Effort(string route, string effort) => route switch
    {
        ResponseRoute => $$""", "reasoning": {"effort": "{{effort}}"}""",
        MessageRoute => $$""", "output_config": {"effort": "{{effort}}"}""",
        OllamaRoute => $", \"think\": \"{effort}\"",
        _ => $", \"reasoning_effort\": \"{effort}\"",
    };

    /// <summary>Thoughts, text, and how a whole answer ended.</summary>
    internal static (string Reasoning, string Content, string? End) Read(string route, JsonNode answer)
    {
        switch (route)
        {
            case ResponseRoute:
                string Of(string type) => string.Concat(answer["output"]!.AsArray().Where(item => (string?)item!["type"] == type).Select(item => (string?)item!["content"]![0]!["text"]));
                return (Of("reasoning"), Of("message"), (string?)answer["incomplete_details"]?["reason"] ?? (string?)answer["status"]);
            case MessageRoute:
                string Block(string field) => string.Concat(answer["content"]!.AsArray().Select(block => (string?)block![field]));
                return (Block("thinking"), Block("text"), (string?)answer["stop_reason"]);
            case OllamaRoute:
                return ((string?)answer["message"]!["thinking"] ?? "", (string)answer["message"]!["content"]!, (string?)answer["done_reason"]);
            default:
                JsonNode choice = answer["choices"]![0]!;
                return ((string?)choice["message"]!["reasoning_content"] ?? "", (string?)choice["message"]!["content"] ?? "", (string?)choice["finish_reason"]);
        }
    }

    /// <summary>What ends an answer that met a limit.</summary>
    internal static string Limited(string route) => route switch { ResponseRoute => "max_output_tokens", MessageRoute => "max_tokens", _ => "length" };

    /// <summary>The objects of a stream, in whichever form.</summary>
    internal static async Task<List<JsonNode>> StreamAsync(TestServer server, string route, string body)
    {
        using HttpResponseMessage response = await server.PostAsync(route, body);
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, text);
        return [.. text.Split('\n').Select(line => line.StartsWith("data: ", StringComparison.Ordinal) ? line["data: ".Length..] : line)
            .Where(line => line.StartsWith('{')).Select(line => JsonNode.Parse(line)!)];
    }

    /// <summary>The object of a stream that tells how the answer ended.</summary>
    internal static JsonNode Last(string route, List<JsonNode> stream) => route switch
    {
        ResponseRoute => stream[^1]["response"]!,
        MessageRoute => stream.Single(one => (string?)one["type"] == "message_delta"),
        OllamaRoute => stream[^1],
        _ => stream.Single(one => one["choices"]!.AsArray().Any(choice => choice!["finish_reason"] is not null)),
    };
}
