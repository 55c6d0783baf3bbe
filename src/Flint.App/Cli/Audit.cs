using System.CommandLine;
using System.Text.Json;
using Flint.App.Accounts;

namespace Flint.App.Cli;

/// <summary><c>flint audit</c>: whether the ledger is as it was written.</summary>
internal static class Audit
{
    private const int Altered = 1;

    /// <summary>The verb.</summary>
    public static Command Create() => new("audit", "Whether the records of what was used are as they were written.") { DataOption.Address, CreateVerify(), CreateHead(), CreateExport() };

    private static Command CreateVerify()
    {
        var noted = new Option<string?>("--head") { HelpName = "COUNT:HASH", Description = "A state noted before, which the records must still contain." };
        Option<string?> data = DataOption.Create();
        var command = new Command("verify", "Check the hash chain over all records; ends with 1 where one was altered, added or removed.") { noted, data };
        command.SetAction(parsed =>
        {
            AuditResult result = AuditChain.Verify(DataOption.Open(parsed, data), parsed.GetValue(noted) is { } text ? AuditHead.Parse(text) : null);
            if (result.Fault is { } fault)
            {
                Console.Error.WriteLine($"flint: {fault}");
                return Altered;
            }

            Console.Out.WriteLine($"{result.Head.Count} records, all as they were written. Head: {result.Head}");
            return 0;
        });
        return command;
    }

    private static Command CreateHead()
    {
        Option<string?> data = DataOption.Create();
        var command = new Command("head", "Print the present state, to be noted where nobody who can write the records can write.") { data };
        command.SetAction(parsed =>
        {
            Console.Out.WriteLine(AuditChain.Head(DataOption.Open(parsed, data)));
            return 0;
        });
        return command;
    }

    private static Command CreateExport()
    {
        Option<string?> data = DataOption.Create();
        var command = new Command("export", "Print every record, oldest first, with its ids and its hash, as JSON lines.") { data };
        command.SetAction(parsed =>
        {
            using var output = new BufferedStream(Console.OpenStandardOutput());
            Ledger.Export(DataOption.Open(parsed, data), entry =>
            {
                using (var writer = new Utf8JsonWriter(output))
                    WriteLine(writer, entry);
                output.WriteByte((byte)'\n');
            });
            return 0;
        });
        return command;
    }

    private static void WriteLine(Utf8JsonWriter writer, UsageEntry entry)
    {
        writer.WriteStartObject();
        writer.WriteNumber("form", entry.Record.Form);
        WriteId("key_id", entry.Record.KeyId);
        WriteId("project_id", entry.Record.ProjectId);
        WriteId("organization_id", entry.Record.OrganizationId);
        UsageJson.Write(writer, entry);
        writer.WriteString("hash", Convert.ToHexStringLower(entry.Hash));
        writer.WriteEndObject();

        void WriteId(string name, long? id)
        {
            if (id is long known)
                writer.WriteNumber(name, known);
            else
                writer.WriteNull(name);
        }
    }
}
