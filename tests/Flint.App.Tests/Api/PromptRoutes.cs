using System.Text.Json.Nodes;
using Flint.App.Accounts;

namespace Flint.App.Tests.Api;

/// <summary>All routes that read a prompt, under no profile and under Meta's, asked and refused alike.</summary>
internal static class PromptRoutes
{
    /// <summary>What each answers at once, whole.</summary>
    internal static readonly Dictionary<string, string> Bodies = new()
    {
        ["/v1/chat/completions"] = """{"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}""",
        ["/v1/completions"] = """{"model": "tiny", "prompt": "hello", "max_tokens": 3}""",
        ["/v1/responses"] = """{"model": "tiny", "input": "hello", "max_output_tokens": 16, "store": false}""",
        ["/v1/responses/input_tokens"] = """{"model": "tiny", "input": "hello"}""",
        ["/v1/embeddings"] = """{"model": "tiny", "input": "hello"}""",
        ["/v1/messages"] = """{"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}""",
        ["/v1/messages/count_tokens"] = """{"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}""",
        ["/api/chat"] = """{"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "stream": false, "options": {"num_predict": 3}}""",
        ["/api/generate"] = """{"model": "tiny", "prompt": "hello", "stream": false, "options": {"num_predict": 3}}""",
        ["/api/embed"] = """{"model": "tiny", "input": "hello"}""",
        ["/api/embeddings"] = """{"model": "tiny", "prompt": "hello"}""",
    };

    /// <summary>Those of Meta's API: three of OpenAI's and Anthropic's, under the profile of a server.</summary>
    internal static readonly string[] Muse = ["/v1/chat/completions", "/v1/responses", "/v1/messages"];

    /// <summary>Each route, and whether the server has Meta's profile.</summary>
    internal static TheoryData<string, bool> All
    {
        get
        {
            var all = new TheoryData<string, bool>();
            foreach (string route in Bodies.Keys)
                all.Add(route, false);
            foreach (string route in Muse)
                all.Add(route, true);
            return all;
        }
    }

    /// <summary>Waits until nothing is computed and nothing reserved.</summary>
    internal static Task QuietAsync(TestServer server) => TestServer.UntilAsync(() =>
        server.Model.Engine.Statistics is { Running: 0, Waiting: 0 }
        && Spending.Of(server.Store, new Owner(OwnerKind.Key, server.Key.Id), 0)[0] is { Requests: 0, ReservedTokens: 0 });

    /// <summary>A whole answer of a status; an error has the API's form.</summary>
    internal static void AssertAnswer(string route, int status, RawClient.Answer answer)
    {
        Assert.True(answer.Status == status && answer.IsWhole, $"{answer.Head}\n\n{answer.Body}");
        if (status >= 400)
            AssertError(route, answer.Body);
    }

    /// <summary>An error in the API's form.</summary>
    internal static void AssertError(string route, string body)
    {
        JsonNode root = JsonNode.Parse(body)!;
        if (route.StartsWith("/api/", StringComparison.Ordinal))
        {
            Assert.NotEmpty((string)root["error"]!);
        }
        else if (route.StartsWith("/v1/messages", StringComparison.Ordinal))
        {
            Assert.Equal("error", (string?)root["type"]);
            Assert.NotEmpty((string)root["error"]!["type"]!);
            Assert.NotEmpty((string)root["error"]!["message"]!);
        }
        else
        {
            TestServer.ErrorOf(body);
        }
    }
}
