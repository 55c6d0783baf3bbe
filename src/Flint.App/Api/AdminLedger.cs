using System.Globalization;
using System.Text.Json;
using Flint.App.Accounts;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Flint.App.Api;

/// <summary>Prices, usage and the audit over the admin API.</summary>
internal sealed class AdminLedger(AdminApi api)
{
    private static readonly string[] Owners = ["key", "project", "organization"];
    private static readonly string[] Filters = ["by", "since", "key", "project", "organization", "records"];

    private readonly Prices _prices = new(api.Store);

    /// <summary>Maps its routes.</summary>
    public void Map(RouteGroupBuilder admin)
    {
        admin.MapGet("/prices", AdminApi.Handler(context => AdminApi.ListAsync(context, _prices.List(), Write)));
        admin.MapPut("/prices/{**model}", AdminApi.Handler(SetPriceAsync));
        admin.MapDelete("/prices/{**model}", AdminApi.Handler(RemovePriceAsync));
        admin.MapGet("/usage", AdminApi.Handler(UsageAsync));
        admin.MapGet("/audit/head", AdminApi.Handler(context => AdminApi.AnswerAsync(context, writer => Write(writer, AuditChain.Head(api.Store)))));
        admin.MapPost("/audit/verify", AdminApi.Handler(VerifyAsync));
    }

    private async Task SetPriceAsync(HttpContext context)
    {
        string model = AdminApi.Value(context, "model");
        Price price = await AdminApi.ReadAsync(context, body =>
        {
            long input = AdminApi.Amount(body, "input", null) ?? throw ApiException.Missing("input");
            return new Price { Model = model, Input = input, CachedInput = AdminApi.Amount(body, "cached", null) ?? input, Output = AdminApi.Amount(body, "output", null) ?? throw ApiException.Missing("output") };
        }, "input", "cached", "output");
        _prices.Set(price);
        api.Note(context, $"set the price of '{model}'");
        await AdminApi.AnswerAsync(context, writer => Write(writer, price));
    }

    private Task RemovePriceAsync(HttpContext context)
    {
        string model = AdminApi.Value(context, "model");
        _prices.Remove(model);
        api.Note(context, $"removed the price of '{model}'");
        return AdminApi.AnswerAsync(context, writer =>
        {
            writer.WriteString("model"u8, model);
            writer.WriteBoolean("deleted"u8, true);
        });
    }

    private Task UsageAsync(HttpContext context)
    {
        IQueryCollection query = context.Request.Query;
        string by = Text(query, "by") ?? Owners[0];
        int owner = Array.IndexOf(Owners, by);
        if (owner < 0)
            throw JsonFields.InvalidChoice("by", by, Owners);
        int records = 0;
        if (Text(query, "records") is string count && (!int.TryParse(count, NumberStyles.None, CultureInfo.InvariantCulture, out records) || records > ApiLimits.MaxRecords))
            throw ApiException.Invalid("records", "invalid_value", $"Invalid 'records': expected 0 to {ApiLimits.MaxRecords}, but got '{ApiException.Shorten(count)}'.");
        var filter = new UsageFilter
        {
            Since = AdminApi.QueryTime(query, "since", Filters),
            Key = Text(query, "key"),
            Project = Text(query, "project"),
            Organization = Text(query, "organization"),
        };
        return AdminApi.AnswerAsync(context, writer => AccountsJson.WriteUsage(
            writer, (OwnerKind)owner, Ledger.Totals(api.Store, filter, (OwnerKind)owner), records == 0 ? [] : Ledger.Records(api.Store, filter, records)));
    }

    private async Task VerifyAsync(HttpContext context)
    {
        AuditHead? noted = await AdminApi.ReadAsync(context, body => body.Text("head") is string text ? AuditHead.Parse(text) : (AuditHead?)null, "head");
        AuditResult result = AuditChain.Verify(api.Store, noted);
        await AdminApi.AnswerAsync(context, writer =>
        {
            Write(writer, result.Head);
            writer.WriteBoolean("intact"u8, result.Fault is null);
            writer.WriteString("fault"u8, result.Fault);
        });
    }

    private static string? Text(IQueryCollection query, string name) => AdminApi.Query(query, name, Filters);

    private static void Write(Utf8JsonWriter writer, AuditHead head)
    {
        writer.WriteNumber("records"u8, head.Count);
        writer.WriteString("head"u8, head.ToString());
    }

    private static void Write(Utf8JsonWriter writer, Price price)
    {
        writer.WriteString("model"u8, price.Model);
        foreach ((string name, long amount) in new[] { ("input", price.Input), ("cached", price.CachedInput), ("output", price.Output) })
        {
            writer.WritePropertyName(name);
            writer.WriteRawValue(Money.Text(amount));
        }
    }
}
