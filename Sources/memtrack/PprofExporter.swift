// SPDX-License-Identifier: Apache-2.0
import MemtrackProfile
import MemtrackReport
import MemtrackSession

/// The saved profile without its companion. Here because the format is made by the library that reads it.
struct PprofExporter: ProfileExporter {
    func export(_ profile: LoadedProfile, options: ExportOptions) throws(ReportError) -> [UInt8] {
        do throws(SessionError) {
            return try SavedProfile.pprof(profile)
        } catch {
            throw .encoding(reason: "\(error)")
        }
    }
}
