using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Serving;
using Flint.Dialects;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary>
/// The Responses API: <c>POST /v1/responses</c>, whole, as a stream or in the background, and what can be asked of responses that are
/// kept.
/// </summary>
internal sealed class OpenAiResponses(Models models, Responses stored, BackgroundResponses background)
{
    /// <summary>Answers a request.</summary>
    public async Task HandleAsync(HttpContext context)
    {
        long? key = KeyOf(context);
        (ResponsesRequest request, ChatTurn turn) = await ReadAsync(context, key);
        var teller = new ResponsesTeller(turn, request, stored, key);
        if (request.IsBackground)
        {
            await HandleBackgroundAsync(context, request, await background.StartAsync(turn, teller, key));
            return;
        }

        try
        {
            await ChatAnswer.RunAsync(context, turn, teller);
        }
        catch (Exception error) when (teller.Begun.IsCompleted && error is not OperationCanceledException && !context.RequestAborted.IsCancellationRequested)
        {
            await FailAsync(context, turn, teller, error);
        }
    }

    /// <summary>Counts the tokens of what would be the prompt.</summary>
    public async Task CountAsync(HttpContext context)
    {
        (_, ChatTurn turn) = await ReadAsync(context, KeyOf(context));
        long counted = Models.Own(turn, "model", "counts no tokens beforehand").PromptTokens;
        await turn.Meter.SettleAsync(StatusCodes.Status200OK, "counted");
        await AnswerAsync(context, new JsonObject { ["object"] = "response.input_tokens", ["input_tokens"] = counted });
    }

    /// <summary>Gives back a response: as it is, or as the stream of one that is running.</summary>
    public async Task GetAsync(HttpContext context)
    {
        StoredResponse response = Find(context);
        IQueryCollection query = context.Request.Query;
        if (!QueryFlag(query, "stream"))
        {
            await AnswerAsync(context, Told(response));
            return;
        }

        int after = QueryInt(query, "starting_after", 0, int.MaxValue - 1) ?? -1;
        if (background.Find(response.Id, response.KeyId) is not { } run)
            throw ApiException.Invalid("stream", "invalid_value", "Invalid 'stream': only a response that is running in the background can be listened to. Ask for it without 'stream'.");
        await FollowAsync(context, run.Events, after + 1);
    }

    /// <summary>Lists the items that a response was asked with.</summary>
    public async Task ListInputAsync(HttpContext context)
    {
        StoredResponse response = Find(context);
        IQueryCollection query = context.Request.Query;
        int limit = QueryInt(query, "limit", 1, ApiLimits.MaxPage) ?? 20;
        string? after = query["after"], order = query["order"];
        if (order is not (null or "asc" or "desc"))
            throw JsonFields.InvalidChoice("order", order, ["asc", "desc"]);
        JsonNode[] items = [.. Parse(response.Input).AsArray().Select(item => item!)];
        if (order != "asc")
            Array.Reverse(items);
        int from = after is null ? 0 : Array.FindIndex(items, item => (string?)item["id"] == after) + 1;
        if (after is not null && from == 0)
            throw ApiException.Invalid("after", "invalid_value", $"Invalid 'after': the response has no input item with the id '{ApiException.Shorten(after)}'.");
        JsonNode[] page = [.. items.Skip(from).Take(limit)];
        await AnswerAsync(context, new JsonObject
        {
            ["object"] = "list",
            ["data"] = new JsonArray([.. page.Select(item => item.DeepClone())]),
            ["first_id"] = page.Length > 0 ? (string?)page[0]["id"] : null,
            ["last_id"] = page.Length > 0 ? (string?)page[^1]["id"] : null,
            ["has_more"] = from + page.Length < items.Length,
        });
    }

    /// <summary>Ends a response that is running in the background; one that has ended is given back as it is.</summary>
    public async Task CancelAsync(HttpContext context)
    {
        StoredResponse response = Find(context);
        if ((bool?)Parse(response.Json)["background"] != true)
            throw ApiException.Invalid(null, "invalid_value", "Cannot cancel a synchronous response.");
        await EndAsync(response);
        await AnswerAsync(context, Told(Find(context)));
    }

    /// <summary>Lets go of a response; one that is running is ended first.</summary>
    public async Task DeleteAsync(HttpContext context)
    {
        StoredResponse response = Find(context);
        await EndAsync(response);
        stored.Delete(response.Id, response.KeyId);
        await AnswerAsync(context, new JsonObject { ["id"] = response.Id, ["object"] = "response", ["deleted"] = true });
    }

    /// <summary>Settles a request whose answer failed after it had begun, and tells so in its stream.</summary>
    public static async Task FailAsync(HttpContext context, ChatTurn turn, ResponsesTeller teller, Exception error)
    {
        bool isCancelled = error is OperationCanceledException;
        var failure = ApiException.From(error, "input");
        ApiException told = turn.Meter.Spell(failure);
        if (!isCancelled && failure.Status >= StatusCodes.Status500InternalServerError && failure.Code != "server_stopping")
            turn.Meter.Log.Fail("request_failed", $"The response failed: {ApiException.Describe(error)}", turn.Meter.Id);
        await Gate.SettleQuietlyAsync(turn.Meter, isCancelled ? Gate.ClientClosedRequest : told.Status, isCancelled ? "cancelled" : failure.Code ?? failure.Type);
        using var stream = new EventStream(context, begun: true);
        teller.Fail(stream, isCancelled ? null : told);
        await stream.FlushAsync();
    }

    private async Task<(ResponsesRequest Request, ChatTurn Turn)> ReadAsync(HttpContext context, long? key)
    {
        ResponsesRequest request;
        using (JsonDocument body = await RequestBody.ReadAsync(context.Request, context.RequestAborted))
            request = ResponsesRequest.Read(body.RootElement, stored, key, RequestMeter.Of(context).Id);
        (NamedModel model, ReasoningMode? mode) = models.FindWithMode(request.Chat.Generation.Model);
        return (request, CreateTurn(context, request, model, mode));
    }

    // Whatever becomes of the client, the response is no longer its request: its record is the run's to settle.
    private static async Task HandleBackgroundAsync(HttpContext context, ResponsesRequest request, BackgroundRun run)
    {
        try
        {
            if (request.Streams)
                await FollowAsync(context, run.Events, 0);
            else
                await AnswerAsync(context, Parse(run.Teller.Beginning));
        }
        catch (OperationCanceledException)
        {
            // It left.
        }
    }

    private static async Task FollowAsync(HttpContext context, EventLog events, int skip)
    {
        using var stream = new EventStream(context);
        await stream.FlushAsync();
        int position = 0;
        while (await events.ReadAfterAsync(position, context.RequestAborted) is { Length: > 0 } news)
        {
            position += news.Length;
            int from = 0;
            for (; skip > 0 && from < news.Length; skip--)
                from += news.AsSpan(from).IndexOf("\n\n"u8) + 2;
            await context.Response.BodyWriter.WriteAsync(news.AsMemory(from), context.RequestAborted);
        }

        if (!events.IsCut)
            return;
        stream.Write("error", ApiLimits.MaxBackgroundEvents, static (writer, most) =>
        {
            writer.WriteStartObject();
            writer.WriteString("type"u8, "error"u8);
            writer.WriteString("code"u8, "events_not_kept"u8);
            writer.WriteString("message"u8, $"The first {most} bytes of events are kept. Ask for the response without 'stream'.");
            writer.WriteNull("param"u8);
            writer.WriteEndObject();
        });
        await stream.FlushAsync();
    }

    // A conversation that is too long loses its first turns, whole ones, as few as will do; system messages at its beginning stay.
    private static ChatTurn CreateTurn(HttpContext context, ResponsesRequest request, NamedModel model, ReasoningMode? mode)
    {
        var turn = ChatTurn.Create(context, request.Chat, model, mode);
        if (!request.Truncates || Fits(Models.Own(turn, "truncation", "counts no tokens beforehand")))
            return turn;
        ChatRequest whole = turn.Request;
        IReadOnlyList<ChatMessage> messages = whole.Conversation.Messages;
        ChatMessage[] head = [.. messages.TakeWhile(message => message.Role is "system" or "developer")];
        int[] cuts = [.. Enumerable.Range(head.Length, messages.Count - head.Length).Where(i => messages[i].Role == "user")];
        for (int low = 0, high = cuts.Length - 1; low <= high;)
        {
            int middle = (low + high) / 2;
            ChatConversation conversation = whole.Conversation with { Messages = [.. head, .. messages.Skip(cuts[middle])] };
            var shorter = (EngineTurn)ChatTurn.Create(context, whole with { Conversation = conversation }, model, mode);
            if (Fits(shorter) || middle == cuts.Length - 1)
                turn = shorter; // the shortest is refused by its own length
            if (Fits(shorter))
                high = middle - 1;
            else
                low = middle + 1;
        }

        return turn;
    }

    private static bool Fits(EngineTurn turn) =>
        turn.Prompt.Ids.Length + Math.Min(turn.Request.MaxTokens, turn.Model.ContextLength / 4) <= turn.Model.ContextLength;

    private static long? KeyOf(HttpContext context) => context.Features.Get<Key>()?.Id;

    private StoredResponse Find(HttpContext context)
    {
        string id = (string?)context.Request.RouteValues["id"] ?? "";
        return stored.Find(id, KeyOf(context))
            ?? throw ApiException.Request(StatusCodes.Status404NotFound, "response_not_found", $"Response with id '{ApiException.Shorten(id)}' not found.");
    }

    private async Task EndAsync(StoredResponse response)
    {
        if (background.Find(response.Id, response.KeyId) is not { } run)
            return;
        await run.Cancellation.CancelAsync();
        await run.Done;
    }

    // One that was running when its server ended will not go on.
    private JsonNode Told(StoredResponse response)
    {
        JsonNode json = Parse(response.Json);
        if ((string?)json["status"] is not ("queued" or "in_progress") || background.Find(response.Id, response.KeyId) is not null)
            return json;
        json = Parse(stored.Find(response.Id, response.KeyId)?.Json ?? response.Json); // it may have ended since it was read
        if ((string?)json["status"] is not ("queued" or "in_progress"))
            return json;
        json["status"] = "failed";
        json["error"] = new JsonObject { ["code"] = "server_error", ["message"] = "The server ended before the response did." };
        return json;
    }

    private static JsonNode Parse(string json) => JsonNode.Parse(json, null, ResponsesInput.Deep)!;

    private static Task AnswerAsync(HttpContext context, JsonNode json) =>
        ApiJson.AnswerAsync(context, StatusCodes.Status200OK, json, static (writer, json) => json.WriteTo(writer));

    private static bool QueryFlag(IQueryCollection query, string name) => (string?)query[name] switch
    {
        null or "false" => false,
        "true" => true,
        string value => throw JsonFields.InvalidChoice(name, value, ["true", "false"]),
    };

    private static int? QueryInt(IQueryCollection query, string name, int min, int max)
    {
        if ((string?)query[name] is not string text)
            return null;
        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value >= min && value <= max
            ? value : throw ApiException.Invalid(name, "invalid_value", $"Invalid '{name}': expected an integer from {min} to {max}, but got '{ApiException.Shorten(text)}' instead.");
    }
}
