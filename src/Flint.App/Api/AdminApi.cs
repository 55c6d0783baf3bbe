using System.Globalization;
using System.Text.Json;
using Flint.App.Accounts;
using Flint.App.Operations;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Flint.App.Api;

/// <summary>
/// The admin API, <c>/admin/v1</c>: what <c>flint orgs</c>, <c>projects</c>, <c>keys</c>, <c>prices</c>, <c>usage</c> and <c>audit</c> do, over HTTP. The gate lets
/// keys in that were made for it, and no others. Every change is told to the log, with the key that made it.
/// </summary>
internal sealed class AdminApi(Store store, TimeProvider time, ServerLog log)
{
    /// <summary>Where it begins.</summary>
    public const string Path = "/admin";

    /// <summary>Whether a request is one to this API.</summary>
    public static bool IsMeant(HttpRequest request) => request.Path.StartsWithSegments(Path);

    /// <summary>The accounts.</summary>
    public Store Store => store;

    /// <summary>The clock.</summary>
    public TimeProvider Time => time;

    /// <summary>Maps its routes.</summary>
    public void Map(IEndpointRouteBuilder app)
    {
        RouteGroupBuilder admin = app.MapGroup($"{Path}/v1");
        new AdminOwners(this).Map(admin);
        new AdminKeys(this).Map(admin);
        new AdminLedger(this).Map(admin);
        new AdminPrompts(this).Map(admin);
    }

    /// <summary>A handler with the faults of the accounts in the terms of HTTP.</summary>
    public static RequestDelegate Handler(Func<HttpContext, Task> handle) => async context =>
    {
        context.Response.Headers.CacheControl = "no-store";
        try
        {
            await handle(context);
        }
        catch (FlintException fault) when (fault.Side == FaultSide.Caller)
        {
            int status = fault.Code.EndsWith("_not_found", StringComparison.Ordinal) ? StatusCodes.Status404NotFound
                : fault.Code.EndsWith("_taken", StringComparison.Ordinal) || fault.Code.EndsWith("_ambiguous", StringComparison.Ordinal) ? StatusCodes.Status409Conflict
                : StatusCodes.Status400BadRequest;
            throw ApiException.Request(status, fault.Code, fault.Message);
        }
    };

    /// <summary>Tells the log of a change.</summary>
    /// <param name="context">The request that made it.</param>
    /// <param name="what">What was changed, as the end of a sentence.</param>
    public void Note(HttpContext context, string what) =>
        log.Tell("admin", $"The key {context.Features.Get<Key>()?.Id} of the admin API {what}.", context.Response.Headers["x-request-id"]);

    /// <summary>A part of the path, in which a slash may stand as <c>%2F</c>.</summary>
    public static string Value(HttpContext context, string name) =>
        ((string?)context.Request.RouteValues[name] ?? "").Replace("%2F", "/", StringComparison.OrdinalIgnoreCase);

    /// <summary>Reads a body; one with a field that is not among the known ones is refused, so that no limit is misspelt.</summary>
    /// <exception cref="ApiException">It is no JSON object, or has another field.</exception>
    public static async Task<T> ReadAsync<T>(HttpContext context, Func<JsonFields, T> read, params string[] known)
    {
        using JsonDocument body = await RequestBody.ReadAsync(context.Request, context.RequestAborted);
        var fields = new JsonFields(body.RootElement, "");
        RefuseOthers(fields, known);
        return read(fields);
    }

    /// <summary>Refuses an object with a field that is not among the known ones.</summary>
    public static void RefuseOthers(JsonFields fields, string[] known)
    {
        foreach (JsonProperty field in fields.Element.EnumerateObject())
        {
            if (!known.Contains(field.Name))
                throw ApiException.Invalid(fields.PathOf(field.Name), "unknown_parameter", $"Unknown parameter: '{ApiException.Shorten(fields.PathOf(field.Name))}'. Expected one of {string.Join(", ", known)}.");
        }
    }

    /// <summary>A parameter of a query whose others are among the known ones.</summary>
    /// <exception cref="ApiException">One is not.</exception>
    public static string? Query(IQueryCollection query, string name, string[] known)
    {
        if (query.Keys.FirstOrDefault(one => !known.Contains(one)) is { } unknown)
            throw ApiException.Invalid(unknown, "unknown_parameter", $"Unknown parameter: '{ApiException.Shorten(unknown)}'. Expected one of {string.Join(", ", known)}.");
        return query.TryGetValue(name, out Microsoft.Extensions.Primitives.StringValues values) ? values[^1] : null;
    }

    /// <summary>A moment of such a query, Unix milliseconds; 0 where it names none.</summary>
    /// <exception cref="ApiException">It is none, or a parameter is not known.</exception>
    public static long QueryTime(IQueryCollection query, string name, string[] known)
    {
        if (Query(query, name, known) is not string text)
            return 0;
        return DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset moment)
            ? moment.ToUnixTimeMilliseconds()
            : throw ApiException.Invalid(name, "invalid_value", $"Invalid '{name}': expected a moment such as 2026-11-20T08:00:00Z, but got '{ApiException.Shorten(text)}'.");
    }

    /// <summary>Answers with an object.</summary>
    public static Task AnswerAsync(HttpContext context, Action<Utf8JsonWriter> write, int status = StatusCodes.Status200OK) =>
        ApiJson.AnswerAsync(context, status, write, static (writer, write) =>
        {
            writer.WriteStartObject();
            write(writer);
            writer.WriteEndObject();
        });

    /// <summary>Answers with a list.</summary>
    public static Task ListAsync<T>(HttpContext context, IEnumerable<T> items, Action<Utf8JsonWriter, T> write) => AnswerAsync(context, writer =>
    {
        writer.WriteString("object"u8, "list"u8);
        writer.WriteStartArray("data"u8);
        foreach (T item in items)
        {
            writer.WriteStartObject();
            write(writer, item);
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
    });

    /// <summary>Sets the limits that a body names, null for none, and answers with all.</summary>
    public async Task LimitAsync(HttpContext context, Owner owner, string name)
    {
        Limits before = Limits.Of(store, owner);
        Limits limits = await ReadAsync(context, body => new Limits
        {
            RequestsPerMinute = Count(body, "requests_per_minute", before.RequestsPerMinute),
            TokensPerMinute = Count(body, "tokens_per_minute", before.TokensPerMinute),
            ConcurrentRequests = Count(body, "concurrent_requests", before.ConcurrentRequests),
            DailyTokens = Count(body, "daily_tokens", before.DailyTokens),
            MonthlyTokens = Count(body, "monthly_tokens", before.MonthlyTokens),
            DailyCost = Amount(body, "daily_cost", before.DailyCost),
            MonthlyCost = Amount(body, "monthly_cost", before.MonthlyCost),
            Weight = Count(body, "weight", before.Weight),
        }, "requests_per_minute", "tokens_per_minute", "concurrent_requests", "daily_tokens", "monthly_tokens", "daily_cost", "monthly_cost", "weight");
        Limits.Set(store, owner, limits);
        Note(context, $"limited {name}");
        await AnswerAsync(context, writer => AccountsJson.WriteLimits(writer, store, owner));
    }

    /// <summary>An amount of money, as a number of the unit or as its text; what was before where the field is absent, null where it is.</summary>
    public static long? Amount(JsonFields body, string name, long? before)
    {
        if (!body.Element.TryGetProperty(name, out JsonElement value))
            return before;
        return value.ValueKind switch
        {
            JsonValueKind.Null => null,
            JsonValueKind.Number => Money.Parse(value.GetRawText()),
            JsonValueKind.String => Money.Parse(JsonFields.Text(value, body.PathOf(name))),
            _ => throw JsonFields.WrongType(body.PathOf(name), "an amount of money", value),
        };
    }

    private static long? Count(JsonFields body, string name, long? before) =>
        body.Element.TryGetProperty(name, out _) ? body.Long(name) : before;
}
